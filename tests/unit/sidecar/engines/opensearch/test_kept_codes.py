"""Codes that are kept: what a search returns is what it would return without, whoever asks and whatever happened."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.engines.opensearch import KeptCodes
from sidecar.engines.opensearch.kept_codes import TRUST
from sidecar.errors import ChercheError
from sidecar.values.documents import CODES, HASH
from tests.unit.sidecar.engines.opensearch.fakes import Sent, engine, refusal
from tests.unit.sidecar.engines.opensearch.shelf import INDICES, LIMIT, Cluster, codes, shelf


async def test_what_is_known_is_not_asked_for_again() -> None:
    cluster = shelf()
    await cluster.warm()
    assert await cluster.search() == await cluster.uncached()
    assert cluster.given == 0
    cluster.write("new")
    assert codes(await cluster.search())[-1] == b"codes 6"
    assert cluster.given == 1


async def test_another_version_of_a_document_is_another() -> None:
    cluster = shelf()
    await cluster.warm()
    cluster.write("d2")
    assert codes(await cluster.search())[2] == b"codes 6"
    assert cluster.given == 1
    cluster.write("d2", bare=True)
    assert codes(await cluster.search())[2] is None


async def test_an_index_that_was_made_again_holds_other_documents_of_the_same_versions() -> None:
    cluster = shelf()
    await cluster.warm()
    for document in cluster.documents.values():
        document.codes, document.hash = b"of another model", "another"
    assert codes(await cluster.search()) == [b"of another model"] * 5


async def test_one_id_under_two_routings_is_two_documents() -> None:
    cluster = Cluster()
    for routing in "ab":
        cluster.write("d", routing=routing, hash="")
    for document in cluster.documents.values():
        document.seq_no, document.hash = 1, "same"
    await cluster.warm()
    assert codes(await cluster.search()) == [b"codes 1", b"codes 2"]


async def test_a_caller_gets_nothing_that_another_was_given() -> None:
    cluster = shelf()
    cluster.hidden.add(("Basic two", "books"))
    await cluster.warm("Basic one")
    for _ in range(4):
        assert codes(await cluster.search("Basic two")) == [None] * 5
    assert None not in codes(await cluster.search("Basic one"))


@pytest.mark.parametrize("how", ["hidden", "masked"])
async def test_who_may_no_longer_read_codes_gets_none_after_a_moment(how: str) -> None:
    cluster = shelf()
    await cluster.warm("Basic one")
    getattr(cluster, how).add(("Basic one", "books"))
    cluster.now += TRUST
    expected = await cluster.uncached("Basic one")
    assert expected.hits[0].codes != b"codes 1"
    for _ in range(3):
        assert await cluster.search("Basic one") == expected
        cluster.now += TRUST / 2
    getattr(cluster, how).clear()
    for _ in range(4):
        cluster.now += TRUST
        page = await cluster.search("Basic one")
    assert page == await cluster.uncached("Basic one")


async def test_that_a_caller_may_read_codes_is_asked_by_one_document() -> None:
    cluster = shelf()
    await cluster.warm()
    cluster.now += TRUST
    assert await cluster.search() == await cluster.uncached()
    assert cluster.given == 1
    cluster.now += TRUST / 2
    await cluster.search()
    assert cluster.given == 1


async def test_hits_that_say_no_version_are_asked_for_whole() -> None:
    cluster = Cluster()
    for number in range(3):
        cluster.write(f"d{number}", hash="")
    for _ in range(4):
        assert None not in codes(await cluster.search())
    assert cluster.given == 12


async def test_a_hit_that_nobody_encoded_costs_no_second_search_for_the_others() -> None:
    cluster = shelf()
    await cluster.warm()
    cluster.write("plain", bare=True, hash="")
    for _ in range(2):
        cluster.transport.sent.clear()
        page = await cluster.search()
        _, of_codes = cluster.transport.sent
        assert {"ids": {"values": ["plain"]}} in of_codes.body["query"]["bool"]["filter"]
        assert (page, cluster.given) == (await cluster.uncached(), 0)


async def test_codes_whose_hash_is_hidden_are_not_kept() -> None:
    cluster = shelf()
    await cluster.warm()
    cluster.write("secret")
    answer = cluster.answer

    def without(request: Sent) -> Any:
        reply = answer(request)
        for hit in reply["hits"]["hits"]:
            if hit["_id"] == "secret" and "_source" in hit:
                hit["_source"] = {}
        return reply

    cluster.transport.answer = without
    for time in range(3):
        cluster.transport.sent.clear()
        assert codes(await cluster.search())[-1] == b"codes 6"
        # The values say a hash, the source none: the whole search is sent again.
        assert len(cluster.transport.sent) == 3, time


async def test_what_was_replaced_between_two_requests_is_of_one_moment() -> None:
    cluster = shelf()
    await cluster.warm()
    cluster.write("d0")
    answer, asked = cluster.answer, list[str]()

    def meanwhile(request: Sent) -> Any:
        asked.append("codes" if "terms" in str(request.body["query"]) else "hits")
        reply = answer(request)
        if len(asked) == 1:
            cluster.write("d0")
        return reply

    cluster.transport.answer = meanwhile
    page = await cluster.search()
    assert asked == ["hits", "codes", "hits"]
    assert page == await cluster.uncached()


async def test_what_was_made_again_between_two_requests_is_not_what_was_found() -> None:
    cluster = shelf()
    await cluster.warm()
    cluster.write("d0")
    answer, asked = cluster.answer, list[Sent]()

    def meanwhile(request: Sent) -> Any:
        asked.append(request)
        reply = answer(request)
        if len(asked) == 1:
            document = cluster.documents["books", "d0", ""]
            document.codes, document.hash = b"of another model", "another"
        return reply

    cluster.transport.answer = meanwhile
    assert (await cluster.search()).hits[0].codes == b"of another model"
    assert len(asked) == 3


async def test_codes_are_asked_for_without_sources() -> None:
    cluster = shelf()
    await cluster.warm()
    cluster.write("d0")
    cluster.transport.sent.clear()
    await cluster.search()
    assert [one.body["_source"] for one in cluster.transport.sent][1] is False


async def test_hashes_of_an_earlier_release_are_versions_too() -> None:
    cluster = shelf()
    answer = cluster.answer

    def earlier(request: Sent) -> Any:
        reply = answer(request)
        for hit in reply["hits"]["hits"]:
            hit.get("fields", {}).pop(HASH, None)
            if "_source" in hit:
                hit["_source"] = {"cherche_hash": hit["_source"]["cherche_digest"], "cherche_state": "ok"}
        return reply

    cluster.transport.answer = earlier
    await cluster.warm()
    cluster.write("d0")
    cluster.transport.sent.clear()
    assert codes(await cluster.search())[0] == b"codes 6"
    assert (len(cluster.transport.sent), cluster.given) == (2, 1)


async def test_where_few_hits_are_known_one_request_asks_for_all() -> None:
    cluster = shelf(20)
    for _ in range(6):
        cluster.documents.clear()
        for number in range(20):
            cluster.write(f"d{number}")
        cluster.transport.sent.clear()
        await cluster.search(size=20)
        assert [CODES in one.body["docvalue_fields"] for one in cluster.transport.sent if one.path != "/"] == [True]


async def test_they_are_bounded_and_counted() -> None:
    counted = list[tuple[int, int]]()
    kept = KeptCodes(3 * 700, observe=lambda known, unknown: counted.append((known, unknown)))
    cluster = shelf(5, kept=kept)
    for _ in range(3):
        await cluster.search()
    assert 0 < kept.size <= 3 * 700
    assert counted[0] == (0, 5)
    assert all(known + unknown == 5 for known, unknown in counted)


async def test_with_no_room_searches_are_sent_as_they_are() -> None:
    cluster = shelf(kept=KeptCodes(0))
    for _ in range(4):
        assert await cluster.search() == await cluster.uncached()
    assert not any("seq_no_primary_term" in one.body for one in cluster.transport.sent if one.path != "/")
    assert cluster.given == 20


async def test_only_who_asks_for_versions_gets_them() -> None:
    cluster = shelf()
    for _ in range(4):
        bare = await cluster.search()
        asked = await cluster.search(body={"seq_no_primary_term": True})
        assert not any("_seq_no" in hit.extra for hit in bare.hits)
        assert [hit.extra["_seq_no"] for hit in asked.hits] == [1, 2, 3, 4, 5]


async def test_the_second_request_has_the_time_that_is_left() -> None:
    cluster = shelf()
    await cluster.warm()
    cluster.write("d0")
    answer = cluster.answer

    def slow(request: Sent) -> Any:
        cluster.now += 2.0
        return answer(request)

    cluster.transport.answer = slow
    cluster.transport.sent.clear()
    await cluster.search(timeout=5.0)
    assert [one.timeout for one in cluster.transport.sent] == [5.0, 3.0]


async def test_what_the_cluster_refuses_is_the_callers_to_know() -> None:
    cluster = shelf()
    await cluster.warm()
    cluster.transport.answer = lambda request: refusal(403, "security_exception", "no")
    with pytest.raises(ChercheError, match="no"):
        await cluster.search()


ACTIONS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from("abcdef"), st.sampled_from(INDICES), st.sampled_from(["", "r"])),
    st.tuples(st.just("strip"), st.sampled_from("abcdef"), st.sampled_from(INDICES), st.sampled_from(["", "r"])),
    st.tuples(st.just("delete"), st.sampled_from("abcdef"), st.sampled_from(INDICES), st.sampled_from(["", "r"])),
    st.tuples(st.sampled_from(["hide", "mask", "show"]), st.sampled_from(["one", "two"]), st.sampled_from(INDICES)),
    st.tuples(st.just("search"), st.sampled_from(["one", "two"]), st.sampled_from([3, 10])),
    st.tuples(st.just("search"), st.sampled_from(["one", "two"]), st.sampled_from([3, 10])),
)


@given(st.lists(ACTIONS, max_size=40), st.sampled_from([1300, LIMIT]))
def test_with_and_without_it_searches_are_the_same(actions: list[tuple[Any, ...]], limit: int) -> None:
    async def lived() -> None:
        cluster = Cluster()
        kept = KeptCodes(limit, clock=lambda: cluster.now)
        cluster.engine = engine(cluster.transport, codes=kept)
        for number, letter in enumerate("abcdef"):
            cluster.write(letter, INDICES[number % 2])
        for what, *which in actions:
            match what:
                case "write" | "strip":
                    cluster.write(*which, bare=what == "strip")
                case "delete":
                    cluster.documents.pop((which[1], which[0], which[2]), None)
                case "search":
                    assert await cluster.search(*which) == await cluster.uncached(*which)
                    assert kept.size <= limit
                case _:
                    pair = (which[0], which[1])
                    cluster.hidden.discard(pair)
                    cluster.masked.discard(pair)
                    if what != "show":
                        (cluster.hidden if what == "hide" else cluster.masked).add(pair)
                    cluster.now += TRUST

    asyncio.run(lived())
