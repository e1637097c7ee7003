"""The naming vectors that Python and the plugin share hold in Python."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cherche_models import naming

CONTRACT = json.loads(Path(__file__).with_name("naming.json").read_text())


@pytest.mark.parametrize("vector", CONTRACT["vectors"], ids=lambda vector: ascii(vector["token"]))
def test_vectors(vector):
    assert naming.escape(vector["token"]) == vector["name"]
    assert naming.unescape(vector["name"]) == vector["token"]


def test_names_are_distinct_and_can_be_sent():
    names = [vector["name"] for vector in CONTRACT["vectors"]]
    assert len(set(names)) == len(names)
    assert all(name.encode() and "." not in name for name in names)


@pytest.mark.parametrize("token", CONTRACT["refused"])
def test_refused(token):
    with pytest.raises(ValueError, match="no feature name"):
        naming.escape(token)
