"""What the indices behind a name look like, and how their documents are counted."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.engines.opensearch import lifecycle
from sidecar.errors import ChercheError, Code
from sidecar.values.documents import StoredDocument
from sidecar.values.index import Fingerprint, Identity, IndexMeta, IndexStats, TextField
from tests.unit.sidecar.engines.opensearch.fakes import FakeTransport, Sent, engine, http, refusal, written


async def test_a_name_that_is_switched_between_two_requests_is_resolved_again() -> None:
    names = iter(["old", "new", "new", "new"])

    def answer(request: Sent) -> Any:
        return {next(names): {"mappings": {}, "settings": {}}}

    [group] = await engine(FakeTransport(answer)).groups("books")
    assert group.names == ("new",)


async def test_a_name_that_is_switched_again_and_again_is_unavailable() -> None:
    names = iter(map(str, range(100)))
    with pytest.raises(ChercheError, match="again and again") as restless:
        await engine(FakeTransport(lambda _: {next(names): {"mappings": {}, "settings": {}}})).groups("books")
    assert restless.value.code is Code.UNAVAILABLE


async def test_documents_that_failed_are_not_pending() -> None:
    def answer(request: Sent) -> Any:
        if request.method == "GET":
            return {"books": {"mappings": {}, "settings": {}}}
        buckets = [{"doc_count": count} for count in (5, 9, 1)]  # encoded, touched, failed
        return {"hits": {"total": {"value": 20}}, "aggregations": {"counts": {"buckets": buckets}}}

    assert await engine(FakeTransport(answer)).stats("books") == IndexStats(documents=20, encoded=5, pending=3)


async def test_where_fields_of_ours_have_other_types_documents_are_counted_alone() -> None:
    properties = {"cherche_status": {"properties": {"ok": {"type": "long"}}}}

    def answer(request: Sent) -> Any:
        if request.method == "GET":
            return {"copy": {"mappings": {"properties": properties}, "settings": {}}}
        assert "aggs" not in request.body
        return {"hits": {"total": {"value": 20}}}

    assert await engine(FakeTransport(answer)).stats("copy") == IndexStats(documents=20, encoded=0, pending=0)


async def test_an_index_that_hides_our_notes_is_named_by_setup_and_by_doctor() -> None:
    def answer(request: Sent) -> Any:
        if request.path == "/":
            return {"version": {"distribution": "opensearch", "number": "3.8.0"}}
        if request.method == "GET":
            return {"books": {"mappings": {"_source": {"excludes": ["cherche_*"]}}, "settings": {}}}
        return {"hits": {"total": {"value": 0}}, "aggregations": {"counts": {"buckets": 3 * [{"doc_count": 0}]}}}

    ours = engine(FakeTransport(answer))
    [said] = await ours.hazards("books")
    assert 'index "books" leaves cherche_digest and cherche_status out of _source' in said
    meta = IndexMeta("m", Fingerprint("s"), (TextField("title"),), 64)
    assert said in (await ours.plan("books", meta)).warnings


async def test_a_closed_index_is_to_be_opened_whatever_is_asked_of_it() -> None:
    closed = {"mappings": {}, "settings": {"index.verified_before_close": "true"}}
    ours = engine(FakeTransport(lambda _: {"books": closed}))
    for call in (ours.groups, ours.meta, ours.remove):
        with pytest.raises(ChercheError, match='index "books": closed') as refused:
            await call("books")
        assert (refused.value.code, refused.value.next_step) == (Code.FAILED_PRECONDITION, "open the index")
    some = {"books-1": closed, "books-2": {"mappings": {}, "settings": {}}}
    [group] = await engine(FakeTransport(lambda _: some)).groups("books")
    assert group.names == ("books-1", "books-2")


@pytest.mark.parametrize("name", ["BOOKS", "Books-*", "b" * 256])
async def test_a_name_that_no_index_can_have_is_refused_by_setup_and_not_proposed(name: str) -> None:
    def answer(request: Sent) -> Any:
        if request.path == "/":
            return {"version": {"distribution": "opensearch", "number": "3.8.0"}}
        return refusal(404, "index_not_found_exception", f"no such index [{name}]")

    ours = engine(FakeTransport(answer))
    with pytest.raises(ChercheError, match="and none can be") as refused:
        await ours.plan(name, IndexMeta("m", Fingerprint("s"), (TextField("title"),), 64))
    assert refused.value.code is Code.INVALID_ARGUMENT
    with pytest.raises(ChercheError, match="no such index") as absent:
        await ours.groups(name)
    assert absent.value.next_step.startswith("name an index or an alias that exists")


async def test_a_pattern_that_fits_no_index_names_the_command() -> None:
    with pytest.raises(ChercheError, match=r"no index fits 'logs-\*'") as absent:
        await engine(FakeTransport(lambda _: {})).groups("logs-*")
    assert (absent.value.code, absent.value.next_step) == (
        Code.NOT_FOUND,
        "run: cherche setup 'logs-*' for those to come",
    )


STATUS = {"cherche_status": {"type": "rank_features"}}
OLD = {"properties": {"cherche_hash": {"type": "keyword"}}, "_meta": {"cherche": {}}}


async def test_an_index_of_an_earlier_release_gets_our_fields_before_it_is_written() -> None:
    def answer(request: Sent) -> Any:
        if request.path == "/books/_mapping":
            return {"books": {"mappings": OLD}}
        return {"items": [written(id) for id in request.ids]}

    transport = FakeTransport(answer)
    ours = engine(transport)
    for _ in range(2):
        [result] = await ours.as_caller(Identity("Basic x")).write("books", [StoredDocument("1", {}, "", "pending")])
        assert result.error is None
    puts = [request.body for request in transport.sent if request.method == "PUT"]
    assert puts == [{"properties": {"cherche_digest": {"type": "binary", "doc_values": True}, **STATUS}}]
    assert sum(request.path == "/books/_mapping" for request in transport.sent) == 2  # one GET, one PUT


async def test_each_index_behind_a_name_is_looked_at_once() -> None:
    def answer(request: Sent) -> Any:
        return {request.path.split("/")[1]: {"mappings": OLD if request.path.startswith("/old") else {}}}

    transport, known = FakeTransport(answer), set[str]()
    for names in (["old-1", "new"], ["old-1", "old-2"]):
        await lifecycle.hide_bookkeeping(http(transport), names, known)
    assert [request.path for request in transport.sent if request.method == "PUT"] == [
        "/old-1/_mapping",
        "/old-2/_mapping",
    ]
    assert [request.path for request in transport.sent if request.method == "GET"] == [
        "/new/_mapping",
        "/old-1/_mapping",
        "/old-2/_mapping",
    ]


async def test_who_may_not_change_the_mapping_is_told_who_can() -> None:
    def answer(request: Sent) -> Any:
        return refusal(403, "security_exception", "no") if request.method == "PUT" else {"books": {"mappings": OLD}}

    [result] = await engine(FakeTransport(answer)).write("books", [StoredDocument("1", {}, "", "pending")])
    assert result.error is not None
    assert result.error.code is Code.FAILED_PRECONDITION
    assert "cherche setup books" in result.error.next_step


async def test_it_lists_indices_without_those_of_the_cluster() -> None:
    names = ("books", "films", ".security")
    found = await engine(FakeTransport(lambda _: {n: {"mappings": {}, "settings": {}} for n in names})).list_indices()
    assert [group.names for group in found] == [("books", "films")]
    assert await engine(FakeTransport(lambda _: {})).list_indices() == ()
