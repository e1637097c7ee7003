"""Documents read back by id."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.errors import ChercheError
from tests.unit.sidecar.engines.opensearch.fakes import FakeTransport, Sent, engine, refusal


async def test_a_document_under_a_routing_that_nobody_named_is_found_by_a_search() -> None:
    def answer(request: Sent) -> Any:
        if request.path.endswith("_mget"):
            missing = {"type": "routing_missing_exception", "reason": "routing is required"}
            return {"docs": [{"_index": "books", "_id": "a", "error": {"root_cause": [missing], **missing}}]}
        hit = {"_index": "books", "_id": "a", "_routing": "r", "_source": {"title": "x", "cherche_state": "ok"}}
        return {"hits": {"hits": [{**hit, "fields": {"cherche_terms": ["dA"]}}]}}

    ours = engine(FakeTransport(answer))
    found = (await ours.read("books", ["a"]))["a"]
    assert (found.routing, found.terms) == ("r", b"t")
    assert await ours.read("books", ["a"], {"a": ""}) == {}, "a feed that writes without one finds nothing to keep"


async def test_why_an_index_gives_no_sample_is_said_with_what_to_do() -> None:
    sources = iter([{"enabled": False}, {}])

    def answer(request: Sent) -> Any:
        if request.path == "/books/_mapping":
            return {"books": {"mappings": {"_source": next(sources)}}}
        if request.method == "GET":
            return {"books": {"settings": {}}}
        return refusal(400, "illegal_argument_exception", "unable to fetch fields from _source field")

    ours = engine(FakeTransport(answer))
    with pytest.raises(ChercheError, match='index "books" keeps no _source') as refused:
        await ours.sample("books", 9)
    assert refused.value.next_step == "make an index that stores _source, set that up and feed it"
    with pytest.raises(ChercheError, match="unable to fetch"):
        await ours.sample("books", 9)


async def test_fields_that_a_reindex_brought_are_named_where_they_give_no_sample() -> None:
    def answer(request: Sent) -> Any:
        if request.path == "/books/_mapping":
            return {"books": {"mappings": {"properties": {"cherche_terms": {"type": "text"}}}}}
        if request.method == "GET":
            return {"books": {"settings": {}}}
        return refusal(400, "illegal_argument_exception", "set fielddata=true on [cherche_terms]")

    with pytest.raises(ChercheError, match='field cherche_terms of index "books" has type text') as refused:
        await engine(FakeTransport(answer)).sample("books", 9)
    assert "then _reindex into NEW" in refused.value.next_step


async def test_versions_that_no_number_of_writes_explains_are_somebodys() -> None:
    numbers = ((1, 0), (3, 2), (5, 3), (1700000000, 8))
    hits = [{"_id": "a", "_version": version, "_seq_no": seq_no} for version, seq_no in numbers]
    assert await engine(FakeTransport(lambda _: {"hits": {"hits": hits}})).foreign_versions("books", 9) == 2


@pytest.mark.parametrize(
    ("versions", "made", "count"),
    [
        ([5] * 8, 1000, 8),  # each written once under a number of the owner's
        ([2, 1, 2, 2, 2, 2, 2, 2], 1000, 7),
        ([3] * 8, 3000, 0),  # each written three times
        ([400, 1, 1, 1, 1, 1, 1, 1], 1400, 0),  # one of them all the time
        ([1] * 8, 1000, 0),
    ],
)
async def test_versions_that_all_writes_together_do_not_explain_are_somebodys(
    versions: list[int], made: int, count: int
) -> None:
    def answer(request: Sent) -> Any:
        if "_stats" in request.path:
            copy = {"routing": {"primary": True}, "indexing": {"delete_total": 0}}
            shard = {**copy, "seq_no": {"global_checkpoint": made - 1}}
            return {"_shards": {}, "indices": {"books": {"uuid": "u", "shards": {"0": [shard]}}}}
        if request.method == "GET":
            return {"books": {"settings": {"index.uuid": "u"}}}
        hits = [{"_id": "a", "_version": version, "_seq_no": 900} for version in versions]
        return {"hits": {"total": {"value": 1000, "relation": "eq"}, "hits": hits}}

    assert await engine(FakeTransport(answer)).foreign_versions("books", 9) == count


async def test_a_document_that_never_stands_still_counts_as_never_encoded() -> None:
    numbers = iter(range(100))

    def answer(request: Sent) -> Any:
        stamp = {"_seq_no": next(numbers), "_primary_term": 1}
        if request.path.endswith("_mget"):
            source = {"title": "x", "cherche_hash": "h", "cherche_state": "ok"}
            return {"docs": [{"_index": "books", "_id": "a", "found": True, "_source": source, **stamp}]}
        return {"hits": {"hits": [{"_index": "books", "_id": "a", "fields": {"cherche_terms": ["dA"]}, **stamp}]}}

    found = (await engine(FakeTransport(answer)).read("books", ["a"]))["a"]
    assert (found.source, found.hash, found.state, found.terms) == ({"title": "x"}, "", "pending", None)


def hit(id_: str, routing: str, seq_no: int = 0) -> dict[str, Any]:
    source = {"cherche_status": [{"ok": 1}], "cherche_digest": "h", "n": routing}
    stamp = {"_seq_no": seq_no, "_primary_term": 1, "sort": [id_]}
    return {"_index": "books", "_id": id_, "_routing": routing, "_source": source, **stamp}


async def test_a_scan_gives_documents_that_share_an_id_across_the_end_of_a_page() -> None:
    """As documents under several routings do, and those of several indices behind an alias."""
    stored = [hit("a", "1"), *(hit("b", str(n)) for n in range(5)), hit("c", "1"), hit("d", "1"), hit("d", "2")]

    def answer(request: Sent) -> Any:
        if request.path != "/_search":
            return {"pit_id": "p"}
        after = request.body.get("search_after", [""])
        rest = [one for one in stored if one["sort"] > after]
        return {"hits": {"hits": rest[: request.body["size"]]}}

    for most in range(6, 12):
        ours = engine(Limited(answer, most))
        found = [(one.id, one.routing) async for one in ours.scan("books")]
        assert found == [(one["_id"], one["_routing"]) for one in stored], most
    with pytest.raises(ChercheError, match="5 documents or more have the id 'b'"):
        [one async for one in engine(Limited(answer, 5)).scan("books")]


async def test_a_scan_of_some_ids_gives_every_document_that_has_one() -> None:
    stored = [hit("a", "1"), hit("a", "2"), hit("b", "1"), hit("c", "1")]

    def answer(request: Sent) -> Any:
        if request.path != "/_search":
            return {"pit_id": "p"}
        wanted = request.body["query"]["ids"]["values"]
        return {"hits": {"hits": [one for one in stored if one["_id"] in wanted]}}

    ours = engine(Limited(answer, 100))
    found = [(one.id, one.routing) async for one in ours.scan("books", ["a", "c", "nowhere"])]
    assert found == [("a", "1"), ("a", "2"), ("c", "1")]


async def test_no_search_asks_for_more_hits_than_the_index_allows() -> None:
    sizes: list[int] = []

    def answer(request: Sent) -> Any:
        if request.path.endswith("_mget"):
            docs = [hit(one["_id"], "") | {"found": True} for one in request.body["docs"]]
            return {"docs": docs}
        if "search" not in request.path or "point_in_time" in request.path:
            return {"pit_id": "p"}
        sizes.append(request.body["size"])
        assert request.body["size"] <= 7
        wanted = request.body["query"]["ids"]["values"] if "ids" in request.body.get("query", {}) else []
        return {"hits": {"hits": [{**hit(id_, ""), "fields": {"cherche_terms": ["dA"]}} for id_ in wanted]}}

    ours = engine(Limited(answer, 7))
    ids = [str(number) for number in range(20)]
    assert set(await ours.read("books", ids)) == set(ids)
    assert len(sizes) == 3
    await ours.sample("books", 100)
    await ours.foreign_versions("books", 100)
    assert [one async for one in ours.scan("books")] == []
    assert sizes[3:] == [7, 7, 7]


async def test_terms_are_of_the_document_with_that_routing() -> None:
    def answer(request: Sent) -> Any:
        if request.path.endswith("_mget"):
            return {"docs": [hit("a", "r", seq_no=3) | {"found": True}]}
        assert request.body["size"] > 1
        others = {**hit("a", "other", seq_no=5), "fields": {"cherche_terms": ["eA"]}}
        return {"hits": {"hits": [{**hit("a", "r", seq_no=3), "fields": {"cherche_terms": ["dA"]}}, others]}}

    transport = FakeTransport(answer)
    found = (await engine(transport).read("books", ["a"], {"a": "r"}))["a"]
    assert (found.terms, found.state) == (b"t", "ok")
    assert not any(sent.path.endswith("_refresh") for sent in transport.sent)


class Limited(FakeTransport):
    """An index with a window of its own."""

    def __init__(self, answer: Any, most: int) -> None:
        super().__init__(answer)
        self.most = most

    async def perform_request(self, method: str, url: str, *arguments: Any, **options: Any) -> Any:
        reply = await super().perform_request(method, url, *arguments, **options)
        if "/_settings/" in url:
            reply["books"]["settings"]["index.max_result_window"] = str(self.most)
        return reply
