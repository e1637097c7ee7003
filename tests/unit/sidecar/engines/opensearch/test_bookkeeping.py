"""Hash and state of a document as an index holds them: in today's fields, and in the keywords of earlier releases."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from sidecar.engines.opensearch import bookkeeping
from sidecar.engines.opensearch.bookkeeping import Note


@pytest.mark.parametrize(
    ("source", "note"),
    [
        ({}, Note("", None, False)),
        ({"cherche_digest": "aa", "cherche_status": [{"no_text": 1}]}, Note("aa", "no_text", False)),
        ({"cherche_digest": None, "cherche_status": {"failed": 1}}, Note("", "failed", False)),
        # A part of a document on its way through the plugin, in an index without its pipeline.
        ({"cherche_digest": None, "cherche_status": [{"pending": 1}, {"partial": 1}]}, Note("", "pending", False)),
        ({"cherche_status": [{"of a later release": 1}]}, Note("", None, False)),
        ({"cherche_hash": "aa", "cherche_state": "ok"}, Note("aa", "ok", True)),
        ({"cherche_state": "pending"}, Note("", "pending", True)),
        ({"cherche_hash": "", "cherche_state": "partial"}, Note("", None, True)),
        # Of an update that could not take the keywords out.
        ({"cherche_hash": None, "cherche_state": None, "cherche_status": [{"ok": 1}]}, Note("", "ok", True)),
    ],
)
def test_both_forms_are_read(source: dict[str, Any], note: Note) -> None:
    assert bookkeeping.read(source) == note


def test_what_is_written_is_read_again() -> None:
    for state in bookkeeping.STATES:
        assert bookkeeping.read(bookkeeping.written("aa", state)) == Note("aa", state, False)
    assert bookkeeping.read(bookkeeping.written("", None)) == Note("", None, False)


def test_a_hash_is_base64_that_doc_values_give_back() -> None:
    digest = hashlib.sha256(b"text").hexdigest()
    assert base64.b64encode(base64.b64decode(digest, validate=True)).decode() == digest


def test_a_state_is_looked_for_in_both_forms() -> None:
    feature = {"rank_feature": {"field": "cherche_status.ok", "linear": {}}}
    assert bookkeeping.is_in("ok") == {"bool": {"should": [feature, {"terms": {"cherche_state": ["ok"]}}]}}
    assert "cherche_digest" in str(bookkeeping.is_known())
    assert "cherche_status" not in str(bookkeeping.is_exposed())
