"""Updates of documents that are still as they were read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.engines.opensearch.bulk import Item, neural_fields
from sidecar.engines.opensearch.writes import SCRIPT, item, update
from sidecar.errors import ChercheError, Code
from sidecar.values.documents import OWN_FIELDS, StoredDocument, Version
from tests.unit.sidecar.engines.opensearch.fakes import FakeTransport, Naps, Sent, UnscriptedShelf, http, written


def encoded(id_: str, version: Version) -> StoredDocument:
    return StoredDocument(id_, {}, "new", "ok", features={"sun": 1.0}, terms=b"t", version=version)


async def test_versions_of_the_owner_are_kept() -> None:
    def answer(request: Sent) -> Any:
        if request.path == "/_mget":
            raw = {"_index": "books", "_id": "1", "found": True, "_seq_no": 3, "_primary_term": 1, "_version": 5}
            return {"docs": [{**raw, "_source": {"title": "x", "cherche_hash": "old"}}]}
        return {"items": [written("1")]} if request.path == "/_bulk" else {}

    transport = FakeTransport(answer)
    [result] = await update(http(transport), [encoded("1", Version(3, 1, "books"))], sleep=Naps(), keeps_versions=True)
    assert result.error is None
    action, body = [json.loads(line) for line in transport.sent[-1].body.splitlines()]
    version = {"version": 5, "version_type": "external_gte", "pipeline": "_none"}
    assert action == {"index": {"_index": "books", "_id": "1", **version}}
    assert (body["title"], body["cherche_digest"]) == ("x", "new")


def updated(document: StoredDocument) -> Item:
    return item(0, document, neural_fields(document))


async def test_without_scripts_a_document_is_kept_and_newer_writes_stay() -> None:
    shelf = UnscriptedShelf({"a": (1, {"title": "x", "cherche_weights": {"old": 1.0}}), "b": (9, {"title": "y"})})
    read = {"a": 1, "b": 2, "gone": 3}
    documents = [encoded(id_, Version(seq_no, 1, "books", "r", True)) for id_, seq_no in read.items()]
    results = await update(http(FakeTransport(shelf)), documents, sleep=Naps())
    assert [result.error.code if result.error else None for result in results] == [
        None,
        Code.ABORTED,
        Code.NOT_FOUND,
    ]
    assert shelf.documents["a"][1] == {
        "title": "x",
        "cherche_digest": "new",
        "cherche_status": [{"ok": 1}],
        "cherche_weights": {"sun": 1.0},
        "cherche_terms": "dA==",
    }
    assert shelf.documents["b"] == (9, {"title": "y"})


def test_an_update_is_guarded_by_the_version_that_was_read() -> None:
    action, body = updated(encoded("1", Version(7, 2, "books", "r"))).lines.decode().splitlines()
    guard = {"if_seq_no": 7, "if_primary_term": 2}
    assert json.loads(action) == {"update": {"_index": "books", "_id": "1", **guard, "routing": "r"}}
    assert json.loads(body)["doc"]["cherche_weights"] == {"sun": 1.0}


def test_weights_in_the_source_are_replaced_and_not_merged() -> None:
    _, body = updated(encoded("1", Version(7, 2, "books", weights_in_source=True))).lines.decode().splitlines()
    script = json.loads(body)["script"]
    assert script["source"] == SCRIPT
    assert script["params"]["names"] == list(OWN_FIELDS)
    assert script["params"]["fields"]["cherche_digest"] == "new"


def test_an_update_without_a_version_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="document '1' was read without its version"):
        updated(StoredDocument("1", {}))


def test_an_id_that_no_json_holds_is_refused() -> None:
    with pytest.raises(ChercheError, match="cannot be written"):
        updated(encoded("\ud800", Version(7, 2, "books")))
