"""Successor indices: how they are made, filled, and put in another's place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.engines.opensearch.mapping import HEAVY_FIELDS, PROPERTIES, UPGRADE
from sidecar.engines.opensearch.successors import creation, placed
from sidecar.errors import ChercheError, Code
from sidecar.values.documents import StoredDocument, Version
from sidecar.values.index import Fingerprint, IndexMeta, TextField
from sidecar.values.maintenance import Placement
from tests.unit.sidecar.engines.opensearch.fakes import FakeTransport, Sent, engine

META = IndexMeta("new", Fingerprint("s"), (TextField("title"),), 64)


def test_a_successor_has_the_users_mapping_and_settings_and_not_what_names_the_old_index() -> None:
    mappings = {
        "_meta": {"mine": 1, "cherche": {"model": "old"}, UPGRADE: {"successor": "x"}},
        "_source": {"excludes": ["secret"], "recovery_source_excludes": ["cherche_*"]},
        "properties": {"title": {"type": "text"}},
    }
    settings = {"index.uuid": "u", "index.blocks.write": "true", "index.version.created": "1", "index.codec": "best"}
    body = creation(mappings, settings, META, recovery_source=False)
    assert body["settings"] == {"index.codec": "best"}
    assert body["mappings"] == {
        "_meta": {"mine": 1, "cherche": META.to_json()},
        "_source": {"excludes": ["secret", *HEAVY_FIELDS]},
        "properties": {"title": {"type": "text"}, **PROPERTIES},
    }


def test_copies_that_keep_the_weights_need_no_recovery_source() -> None:
    body = creation({}, {"index.replication.type": "SEGMENT"}, META, recovery_source=True)
    assert body["mappings"]["_source"]["recovery_source_excludes"] == list(HEAVY_FIELDS)


def lines(placement: Placement) -> list[Any]:
    return [json.loads(line) for line in placed(0, placement).lines.splitlines()]


def test_a_document_is_placed_over_what_was_found_and_created_where_nothing_was() -> None:
    document = StoredDocument("1", {"title": "x"}, "h", "ok", terms=b"t")
    action, body = lines(Placement(document, "r", Version(7, 2)))
    assert action == {"index": {"_id": "1", "routing": "r", "if_seq_no": 7, "if_primary_term": 2}}
    assert (body["title"], body["cherche_digest"], body["cherche_terms"]) == ("x", "h", "dA==")
    action, _ = lines(Placement(document, "", None))
    assert action == {"create": {"_id": "1"}}


def test_a_document_that_no_json_holds_is_refused() -> None:
    with pytest.raises(ChercheError, match="document '1' cannot be written") as refused:
        placed(0, Placement(StoredDocument("1", {"x": float("nan")}), "", None))
    assert refused.value.code is Code.INVALID_ARGUMENT


async def test_a_switch_moves_every_alias_with_its_filter_routing_and_write_index() -> None:
    options = {"filter": {"term": {"a": 1}}, "is_write_index": True}
    sibling = {"filter": {"term": {"tenant": "b"}}, "index_routing": "b", "search_routing": "b"}
    transport = FakeTransport(lambda request: {"old": {"aliases": {"books": options, "books-b": sibling}}})
    await (await engine(transport).successors()).switch("books", ["old"], ["new"])
    [*_, sent] = transport.sent
    assert sent.body["actions"] == [
        {"remove": {"index": "old", "alias": "books"}},
        {"add": {"index": "new", "alias": "books", "filter": {"term": {"a": 1}}, "is_write_index": True}},
        {"remove": {"index": "old", "alias": "books-b"}},
        {"add": {"index": "new", "alias": "books-b", **sibling}},
    ]


async def test_an_index_notes_that_it_is_back_until_it_is_replaced_and_serves_anew() -> None:
    metas: dict[str, Any] = {"old": {"owner": "us"}, "new": {}}

    def answer(request: Sent) -> Any:
        name = request.path.split("/")[1]
        if request.method == "PUT":
            metas[name] = request.body["_meta"]
        return {name: {"mappings": {"_meta": metas[name]}, "settings": {}}}

    successors = await engine(FakeTransport(answer)).successors()
    for _ in range(2):
        await successors.announce("old", "new", {}, {})
        assert (await successors.serving("new")).is_back is False
        await successors.announce("new", "old", {}, {}, is_back=True)
        found = await successors.serving("old")
        assert (found.is_back, found.replaced) == (True, ("new",))
        assert (await successors.serving("new")).is_back is False
    assert metas["old"]["owner"] == "us"


async def test_a_final_pipeline_is_silent_while_an_index_is_filled_and_runs_once_it_serves() -> None:
    body = creation({}, {"index.final_pipeline": "stamp", "index.default_pipeline": "clean"}, META, False)
    assert body["settings"] == {"index.default_pipeline": "clean"}

    def answer(request: Sent) -> Any:
        stamped = {"settings": {"index.final_pipeline": "stamp"}}
        return {"old": {"aliases": {}, **stamped}, "back": stamped}

    transport = FakeTransport(answer)
    successors = await engine(transport).successors()
    await successors.quiet("back")
    await successors.switch("books", ["old"], ["new"])
    written = [(sent.path, sent.body) for sent in transport.sent if sent.method == "PUT"]
    assert written == [
        ("/back/_settings", {"index.final_pipeline": None}),
        ("/new/_settings", {"index.final_pipeline": "stamp"}),
    ]


async def test_an_index_that_is_not_of_this_upgrade_is_not_filled() -> None:
    def answer(request: Sent) -> Any:
        there = {"mappings": {"_meta": {"cherche": {**META.to_json(), "fingerprint": {"sparse": "x", "codes": ""}}}}}
        return {"new": there if request.path.endswith("_mapping") else {"settings": {}}}

    with pytest.raises(ChercheError, match="not set up for this upgrade") as refused:
        await (await engine(FakeTransport(answer)).successors()).create("new", "old", META)
    assert refused.value.code is Code.ALREADY_EXISTS


async def test_only_a_copy_of_this_index_is_deleted() -> None:
    def answer(request: Sent) -> Any:
        name = request.path.split("/")[1]
        return {name: {"mappings": {"_meta": {UPGRADE: {"successor": name}}}, "settings": {}}}

    transport = FakeTransport(answer)
    with pytest.raises(ChercheError, match='index "copy" exists and is no copy of "books"') as refused:
        await (await engine(transport).successors()).clone("books", "copy")
    assert refused.value.code is Code.ALREADY_EXISTS
    assert "DELETE" not in {sent.method for sent in transport.sent}


async def test_what_a_final_pipeline_makes_of_a_placed_document_is_undone() -> None:
    """Only while an index that serves already is given what was written at the moment of the switch."""
    bulks: list[list[Any]] = []

    def answer(request: Sent) -> Any:
        if "/_settings/index.final_pipeline" in request.path:
            return {"new": {"settings": {"index.final_pipeline": "stamp"}}}
        bulks.append([json.loads(line) for line in request.body.splitlines()])
        if len(bulks) == 1:
            written = [("a", 7, "created"), ("b", 8, "created"), ("c", -2, "noop")]
            return {
                "items": [
                    {"create": {"_id": id, "_seq_no": number, "_primary_term": 2, "status": 200, "result": result}}
                    for id, number, result in written
                ]
            }
        newer = {"type": "version_conflict_engine_exception", "reason": "newer"}
        return {
            "items": [{"update": {"_id": "a", "status": 200}}, {"update": {"_id": "b", "status": 409, "error": newer}}]
        }

    placements = [Placement(StoredDocument(id, {"n": id}, "h", "ok"), "r", None) for id in "abc"]
    a, b, c = await (await engine(FakeTransport(answer)).successors()).place("new", placements)
    assert (a.error, b.error) == (None, None), "whoever wrote b meanwhile is newer"
    assert c.error is not None
    assert (c.id, c.error.code) == ("c", Code.FAILED_PRECONDITION)
    assert 'dropped by the final pipeline "stamp"' in c.error.reason
    action, body, *rest = bulks[1]
    assert action == {"update": {"_id": "a", "routing": "r", "if_seq_no": 7, "if_primary_term": 2}}
    assert body["script"]["params"]["source"] == {"n": "a", "cherche_digest": "h", "cherche_status": [{"ok": 1}]}
    assert len(rest) == 2
