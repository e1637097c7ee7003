"""Errors travel between processes whole."""

from __future__ import annotations

import pickle

import pytest

from sidecar.engines.opensearch.errors import TooManyClauses
from sidecar.errors import ChercheError, Code, invalid, masked, masked_address, overloaded


@pytest.mark.parametrize(
    "error",
    [ChercheError(Code.NOT_FOUND, "no such index", "name one"), overloaded("busy", 2.0), TooManyClauses("long")],
)
def test_an_error_can_be_pickled(error: ChercheError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://ada:hunter2@cluster:9200/books", "https://***@cluster:9200/books"),
        ("from http://ada:hunter2@a:1 to http://eve:p@ss@b:2", "from http://***@a:1 to http://***@b:2"),
        ("https://hunter2@cluster", "https://***@cluster"),
        ("https://cluster:9200/a@b and ada@example.org", "https://cluster:9200/a@b and ada@example.org"),
    ],
)
def test_credentials_of_urls_are_masked_in_every_error(text: str, expected: str) -> None:
    assert masked(text) == expected
    error = invalid(text, text)
    assert (error.reason, error.next_step) == (expected, expected)
    assert "hunter2" not in f"{error} {error!r} {error.args}"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("ada:hunter2@cluster:9200", "***@cluster:9200"),
        ("https://ada:hun/ter2@cluster:9200", "https://***@cluster:9200"),
        ("dns:///sidecar:50551", "dns:///sidecar:50551"),
        ("", ""),
    ],
)
def test_an_address_is_masked_with_or_without_a_scheme(address: str, expected: str) -> None:
    assert masked_address(address) == expected
