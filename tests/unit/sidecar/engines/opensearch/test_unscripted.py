"""A cluster that runs no scripts: documents are written anew, if they are still as they were read."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from sidecar.engines.opensearch.removal import strip
from sidecar.engines.opensearch.revisions import deliver
from sidecar.errors import ChercheError, Code
from sidecar.values.documents import OWN_FIELDS, StoredDocument
from sidecar.values.maintenance import Candidate, Revision
from tests.unit.sidecar.engines.opensearch.fakes import FakeTransport, Naps, Sent, engine, http, refusal

REASONS = ["script_lang not supported [painless]", "cannot execute [inline] scripts"]


@dataclass
class Shelf:
    """One index of a cluster without scripts; a document is (sequence number, source)."""

    documents: dict[str, tuple[int, dict[str, Any]]]
    reason: str = REASONS[0]
    pipelines: list[str] = field(default_factory=list)

    def __call__(self, request: Sent) -> Any:
        if request.path.endswith("_update_by_query"):
            return refusal(400, "illegal_argument_exception", self.reason)
        if request.path.endswith("_search"):
            touched = {id_: (n, s) for id_, (n, s) in self.documents.items() if set(s) & set(OWN_FIELDS)}
            return {"hits": {"hits": [self.raw(id_, number, source) for id_, (number, source) in touched.items()]}}
        if request.path == "/_mget":
            return {"docs": [self.got(doc["_id"]) for doc in request.body["docs"]]}
        if request.path == "/_bulk":
            lines = [json.loads(line) for line in request.body.splitlines()]
            return {"items": [self.bulk(*pair) for pair in zip(lines[::2], lines[1::2], strict=True)]}
        return {}

    def raw(self, id_: str, number: int, source: dict[str, Any]) -> dict[str, Any]:
        own = {key: value for key, value in source.items() if key not in OWN_FIELDS}
        return {"_index": "books", "_id": id_, "_routing": "r", "_seq_no": number, "_primary_term": 1, "_source": own}

    def got(self, id_: str) -> dict[str, Any]:
        if id_ not in self.documents:
            return {"_index": "books", "_id": id_, "found": False}
        return {**self.raw(id_, *self.documents[id_]), "found": True}

    def bulk(self, action: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        [(verb, told)] = action.items()
        if verb == "update":
            cause = {"type": "illegal_argument_exception", "reason": self.reason}
            error = {"type": "illegal_argument_exception", "reason": "failed to execute script", "caused_by": cause}
            return {verb: {"_id": told["_id"], "status": 400, "error": error}}
        number, _ = self.documents[told["_id"]]
        self.pipelines.append(told["pipeline"])
        assert told["routing"] == "r"
        if told["if_seq_no"] != number:
            error = {"type": "version_conflict_engine_exception", "reason": "newer"}
            return {verb: {"_id": told["_id"], "status": 409, "error": error}}
        self.documents[told["_id"]] = (number + 100, body)
        return {verb: {"_id": told["_id"], "status": 200}}


def revision(id_: str, seq_no: int) -> Revision:
    candidate = Candidate(id_, {}, "", None, False, "books", "r", seq_no, 1, keeps_weights=True)
    return Revision(candidate, StoredDocument(id_, {}, "new", "ok", features={"sun": 1.0}, terms=b"t"))


@pytest.mark.parametrize("reason", REASONS)
async def test_removal_writes_documents_anew(reason: str) -> None:
    shelf = Shelf({"a": (1, {"title": "x", "cherche_hash": "h"}), "b": (2, {"title": "y"})}, reason)
    transport = FakeTransport(shelf)
    dialect = await engine(transport)._dialect()
    assert await strip(http(transport), dialect, "books", sleep=Naps()) == 1
    assert shelf.documents == {"a": (101, {"title": "x"}), "b": (2, {"title": "y"})}
    assert shelf.pipelines == ["_none"]


async def test_removal_gives_up_on_documents_that_never_stand_still() -> None:
    shelf = Shelf({"a": (1, {"title": "x", "cherche_hash": "h"})})

    def answer(request: Sent) -> Any:
        reply = shelf(request)
        if request.path.endswith("_search"):
            shelf.documents["a"] = (shelf.documents["a"][0] + 1, shelf.documents["a"][1])
        return reply

    transport = FakeTransport(answer)
    dialect = await engine(transport)._dialect()
    with pytest.raises(ChercheError, match="keep writing") as refused:
        await strip(http(transport), dialect, "books", sleep=Naps())
    assert refused.value.code == Code.FAILED_PRECONDITION


async def test_revisions_keep_the_document_and_give_way_to_newer_writes() -> None:
    shelf = Shelf({"a": (1, {"title": "x", "cherche_weights": {"old": 1.0}}), "b": (9, {"title": "y"})})
    revisions = [revision("a", 1), revision("b", 2), revision("gone", 3)]
    results = await deliver(http(FakeTransport(shelf)), revisions, sleep=Naps())
    assert [result.error.code if result.error else None for result in results] == [
        None,
        Code.ABORTED,
        Code.NOT_FOUND,
    ]
    assert shelf.documents["a"][1] == {
        "title": "x",
        "cherche_hash": "new",
        "cherche_state": "ok",
        "cherche_weights": {"sun": 1.0},
        "cherche_terms": "dA==",
    }
    assert shelf.documents["b"] == (9, {"title": "y"})
