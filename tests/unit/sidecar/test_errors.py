"""Errors travel between processes whole."""

from __future__ import annotations

import pickle

import pytest

from sidecar.engines.opensearch.errors import TooManyClauses
from sidecar.errors import ChercheError, Code, overloaded


@pytest.mark.parametrize(
    "error",
    [ChercheError(Code.NOT_FOUND, "no such index", "name one"), overloaded("busy", 2.0), TooManyClauses("long")],
)
def test_an_error_can_be_pickled(error: ChercheError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))
