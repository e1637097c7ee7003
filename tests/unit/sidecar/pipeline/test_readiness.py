"""What a document lacks, and what a search says of its hits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sidecar.pipeline import readiness, stored
from sidecar.values.documents import StoredDocument
from sidecar.values.first_stage import EngineHit
from sidecar.values.index import Fingerprint, IndexGroup, IndexMeta, TextField

META = IndexMeta("m", Fingerprint("s", "c"), (TextField("title"), TextField("text")), 64)


def hash_of(**source: Any) -> str:
    document = stored.from_index(StoredDocument("1", source), META)
    assert isinstance(document, stored.EncodableDocument)
    return document.hash


def held(**changes: Any) -> StoredDocument:
    """A document that is encoded as it is."""
    return replace(StoredDocument("1", {"text": "sky"}, hash_of(text="sky"), "ok", is_complete=True), **changes)


@pytest.mark.parametrize(
    ("document", "lack"),
    [
        (held(), None),
        (held(source={"text": "sky", "year": 1}), None),
        (held(source={"text": "sea"}), "changed"),
        (held(source={}), "changed"),
        (held(hash="of another model"), "changed"),
        (held(is_complete=False), "lost"),
        (held(is_complete=None, terms=b"", codes=None), "lost"),
        (held(state="pending", hash="", is_complete=False), "waiting"),
        (held(state="failed", is_complete=False, hash=""), "waiting"),
        (held(state="failed", is_complete=False, source={"text": {"en": "sky"}}), "waiting"),
        (held(state=None, hash="", is_complete=False), "untouched"),
        (held(state=None, hash="", source={"year": 1}), None),
        (held(state="no_text", hash=hash_of(), source={}, is_complete=False), None),
        (held(state="no_text", hash=hash_of(), source={"text": "sky"}, is_complete=False), "changed"),
        (held(state="pending", hash="", source={"text": " "}), None),
    ],
)
def test_a_document_lacks_what_a_backfill_would_mend(document: StoredDocument, lack: str | None) -> None:
    assert readiness.lack(document, [META]) == lack


def test_any_encoding_of_the_index_will_do() -> None:
    other = replace(META, fingerprint=Fingerprint("other", "c"))
    assert readiness.lack(held(), [other, META]) is None
    assert readiness.lack(held(), [other]) == "changed"


@pytest.mark.parametrize(
    ("document", "lack"),
    [
        (held(source={}), None),
        (held(source={}, state=None, hash=""), None),
        (held(source={}, state="pending", is_complete=False), "waiting"),
        (held(source={}, is_complete=False), "lost"),
    ],
)
def test_without_its_text_a_document_is_taken_at_its_word(document: StoredDocument, lack: str | None) -> None:
    assert readiness.lack(document, [META], knows_text=False) == lack


def test_hits_are_counted_by_what_they_lack() -> None:
    kinds = [
        held(),
        held(is_complete=False),
        held(state="pending", is_complete=False),
        held(state="pending", is_complete=False),
        held(source={"text": "sea"}),
    ]
    hits = [EngineHit(str(number), 1.0, held=one, index="books-1") for number, one in enumerate(kinds)]
    groups = [IndexGroup(("books-1",), META), IndexGroup(("plain",), None)]
    foreign = [EngineHit("plain", 1.0, held=held(state=None), index="plain"), EngineHit("unread", 1.0, index="books-1")]
    [said] = readiness.warnings("books", [*hits, *foreign], groups, knows_text=True)
    assert said == (
        "4 of 5 hits are not encoded as they are: 2 waiting for weights, 1 without the weights or codes that they had, "
        "1 with another text than was encoded — run: cherche backfill books"
    )
    assert readiness.warnings("books", hits[:1], groups, knows_text=True) == []
