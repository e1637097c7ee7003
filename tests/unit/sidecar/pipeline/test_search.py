"""Searches: what is refused, the first stage, and a name that is switched meanwhile."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sidecar.errors import Code, overloaded, unavailable
from sidecar.pipeline.search import FACTS_AGE
from sidecar.testing import FakeModel
from sidecar.values.index import IndexGroup
from sidecar.values.search import RerankStatus, SparseStatus
from tests.unit.sidecar.pipeline.searching import ask, filled, ids, pages, refused

# What is refused


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"text": ""}, "the query is empty"),
        ({"text": " \n"}, "the query is empty"),
        ({"text": "", "body": {"query": {"match_all": {}}}}, "the query is empty, and mode hybrid encodes it"),
        ({"text": "", "body": {"query": {"match_all": {}}}, "mode": "bm25", "rerank": True}, "and a rerank encodes it"),
        ({"text": "x" * 8193}, "the query has 8,193 characters, the limit is 8,192"),
        ({"text": "a\ud800"}, "lone surrogate"),
        ({"size": -1}, "size is -1"),
        ({"size": 0, "paginate": True}, "a page of no hits has no next one"),
        ({"size": 10_001}, "this asks for hit 10,001, the limit is 10,000"),
        ({"rerank": True, "rerank_window": 10_001}, "this asks for hit 10,001"),
        ({"rerank_window": -1}, "rerank_window is -1"),
        ({"query_terms": -1}, "query_terms is -1"),
        ({"rerank_weight": 1.1}, "rerank_weight is 1.1"),
        ({"rerank_weight": float("nan")}, "rerank_weight is nan"),
        ({"sparse_boost": 0.0}, "sparse_boost is 0.0"),
        ({"sparse_boost": float("nan")}, "sparse_boost is nan"),
        ({"body": {"size": 3}}, "the search body sets 'size'"),
        ({"page_token": "made up"}, "not issued by this service"),
    ],
)
async def test_a_search_that_makes_no_sense_is_refused(ready: Any, options: dict[str, Any], reason: str) -> None:
    error = await refused(ready, **options)
    assert error.code is Code.INVALID_ARGUMENT
    assert reason in error.reason
    assert error.next_step
    assert not ready.engine.queries


async def test_an_unknown_model_is_named_with_the_command_that_serves_it(make_world: Callable[..., Any]) -> None:
    world = make_world(FakeModel("mine"))
    world.engine.metas[world.index] = make_world(FakeModel("theirs")).set_up()
    for mode in ("sparse", "hybrid"):
        error = await refused(world, mode=mode)
        assert (error.code, error.next_step) == (
            Code.FAILED_PRECONDITION,
            "start it with: cherche serve --model theirs=PATH",
        )


async def test_bm25_needs_no_model_at_all(world: Any) -> None:
    await filled(world)
    world.encoders.encoders.clear()
    assert ids(await ask(world, mode="bm25"))


async def test_only_bm25_searches_an_index_that_was_never_set_up(world: Any) -> None:
    world.engine.metas[world.index] = None
    error = await refused(world)
    assert (error.code, error.next_step) == (
        Code.FAILED_PRECONDITION,
        "run: cherche setup articles — or search with mode bm25",
    )
    await ask(world, mode="bm25")


async def test_an_overloaded_model_refuses_a_search_at_once(ready: Any) -> None:
    ready.encoder.refusals = [overloaded("8,192 texts wait", 2.0)]
    error = await refused(ready)
    assert (error.code, error.retry_after) == (Code.RESOURCE_EXHAUSTED, 2.0)


# The first stage


async def test_parts_add_up_and_ranks_count_from_one(ready: Any) -> None:
    result = await ask(ready, sparse_boost=0.5)
    assert [hit.rank for hit in result.hits] == list(range(1, 11))
    for hit in result.hits:
        parts = hit.parts
        assert parts.first_stage == pytest.approx(parts.lexical + parts.sparse)
        assert parts.sparse > 0
        assert (hit.score, parts.first_stage_rank, parts.maxsim) == (parts.first_stage, hit.rank, None)
    assert result.rerank.status == RerankStatus.NOT_REQUESTED
    assert result.rerank.window == 0
    assert result.query_terms == 2
    assert ready.engine.queries[-1].sparse_boost == 0.5
    assert not ready.engine.queries[-1].with_codes


async def test_each_mode_asks_for_its_parts(ready: Any) -> None:
    bm25, sparse = await ask(ready, mode="bm25"), await ask(ready, mode="sparse")
    assert {hit.parts.sparse for hit in bm25.hits} == {0.0}
    assert {hit.parts.lexical for hit in sparse.hits} == {0.0}
    assert bm25.query_terms == 0
    assert ready.encoder.calls == [("query", 1)]
    assert ready.encoder.lanes[-1] == "query"


async def test_the_text_of_a_clause_is_encoded_where_the_request_has_none(ready: Any) -> None:
    body = {"query": {"bool": {"must": [{"match": {"sku": "A-100"}}, {"match": {"text": "common three"}}]}}}
    result = await ask(ready, "", body=body)
    assert result.query_terms == (await ask(ready, "common three")).query_terms > 0
    assert ready.engine.queries[0].text == ""


@pytest.mark.parametrize("clause", [{"match": {"sku": "A-100"}}, {"match": {"text": "{{text}}"}}])
async def test_a_clause_without_text_of_its_own_leaves_the_query_empty(ready: Any, clause: dict[str, Any]) -> None:
    error = (await refused(ready, text="", body={"query": clause})).reason
    assert error == "the query is empty, and mode hybrid encodes it"


async def test_a_query_that_is_not_rewritten_is_reranked_all_the_same(ready: Any) -> None:
    body = {"query": {"script_score": {"query": {"match_all": {}}, "script": {"source": "1"}}}}
    result = await ask(ready, body=body, rerank=True)
    [sent] = ready.engine.queries
    assert (sent.match_set, sent.mode, sent.clauses) == ("none", "bm25", ())
    assert (result.match_set, result.match_set_reason) == ("none", "script_score is not rewritten")
    assert result.rerank.status == RerankStatus.APPLIED


async def test_terms_that_the_engine_left_out_are_not_counted(ready: Any) -> None:
    ready.engine.change = lambda page: replace(page, clauses=1, warnings=("1 of 2 query terms left out",))
    result = await ask(ready)
    assert result.query_terms == 1
    assert result.warnings == ("1 of 2 query terms left out",)


async def test_the_body_decides_who_is_a_hit(ready: Any) -> None:
    exact = await ask(ready, body={"query": {"match": {"sku": "A-100"}}})
    await ask(ready, body={"aggs": {"a": {}}})
    await ask(ready, match_set="lexical")
    await ask(ready, mode="bm25")
    assert [query.match_set for query in ready.engine.queries] == ["lexical", "union", "lexical", "lexical"]
    assert (exact.match_set, exact.match_set_reason) == ("lexical", "a searched field is not encoded")


async def test_punctuation_finds_nothing_of_its_own(ready: Any) -> None:
    result = await ask(ready, "?!")
    assert (result.hits, result.sparse.status, result.query_terms) == ((), SparseStatus.NO_TERMS, 0)
    assert (result.match_set, result.match_set_reason) == ("lexical", "no term weights were added")


async def test_timings_name_every_stage(ready: Any) -> None:
    ticks = iter(range(100))
    result = await ask(ready.with_context(clock=lambda: float(next(ticks))), rerank=True)
    timings = result.timings
    assert (timings.tokenize, timings.queue, timings.encode) == (0.25, 0.5, 1.0)  # one pass, counted once
    assert timings.engine > 0
    assert timings.rerank > 0
    assert timings.total >= timings.engine + timings.rerank


# A name that is switched to another index while it is searched


class Switched:
    """An index that is gone for its first search; the name says so from its `from_call`-th request on."""

    def __init__(self, world: Any, from_call: int, answer: Callable[[Any], Any]) -> None:
        self.world, self.from_call, self.answer, self.asked, self.searches = world, from_call, answer, 0, 0
        self.search, world.engine.search = world.engine.search, self._search
        world.engine.groups = self._groups

    async def _groups(self, index: str, *, max_age: float = 0.0) -> Any:
        self.asked += 1
        name = "after" if self.asked >= self.from_call else "before"
        return (IndexGroup((name,), self.world.engine.metas[index]),)

    async def _search(self, index: str, query: Any) -> Any:
        self.searches += 1
        page = await self.search(index, query)
        return replace(self.answer(page), indices=("before",)) if self.searches == 1 else page


def gone(page: Any) -> Any:
    raise unavailable("all shards failed")


def half(page: Any) -> Any:
    return replace(page, hits=page.hits[:1], partial=True)


@pytest.mark.parametrize("answer", [gone, half])
@pytest.mark.parametrize("from_call", [2, 3])
async def test_a_search_that_met_a_switch_is_asked_again(ready: Any, answer: Any, from_call: int) -> None:
    switched = Switched(ready, from_call, answer)
    assert len((await ask(ready)).hits) == 10
    assert switched.searches == 2


async def test_what_fails_without_a_switch_fails(ready: Any) -> None:
    switched = Switched(ready, 1000, gone)
    assert (await refused(ready)).code is Code.UNAVAILABLE
    assert switched.searches == 1


async def test_an_incomplete_page_without_a_switch_is_shown(ready: Any) -> None:
    Switched(ready, 1000, half)
    assert len((await ask(ready)).hits) == 1


class Remembering:
    """An engine that answers about an index from memory where it may."""

    def __init__(self, world: Any) -> None:
        self.world, self.remembered = world, dict(world.engine.metas)
        self.ages: list[float] = []
        world.engine.groups = self._groups

    async def _groups(self, index: str, *, max_age: float = 0.0) -> Any:
        self.ages.append(max_age)
        metas = self.remembered if max_age else self.world.engine.metas
        return (IndexGroup((index,), metas[index]),)


async def test_a_search_may_know_its_index_from_a_second_ago(ready: Any) -> None:
    memory = Remembering(ready)
    await ask(ready)
    assert memory.ages == [FACTS_AGE]
    assert FACTS_AGE == 1.0


async def test_nothing_is_refused_by_what_was_known_of_an_index(ready: Any) -> None:
    """The index was set up by another process a moment ago."""
    memory = Remembering(ready)
    memory.remembered = dict.fromkeys(memory.remembered)
    assert (await ask(ready)).hits
    assert memory.ages == [FACTS_AGE, 0.0]


async def test_a_search_that_met_other_indices_asks_about_them(ready: Any) -> None:
    memory = Remembering(ready)
    pages = iter([("elsewhere",), ()])
    ready.engine.change = lambda page: replace(page, indices=next(pages))
    assert (await ask(ready)).hits
    assert memory.ages == [FACTS_AGE, 0.0]


@pytest.mark.parametrize("key", ["sort", "collapse", "min_score"])
async def test_what_ranks_cannot_be_combined_with_is_refused_by_name(ready: Any, key: str) -> None:
    body = {key: [{"year": "asc"}] if key == "sort" else {}}
    error = await refused(ready, body=body, fusion="rrf")
    assert str(error) == f"the search body sets {key!r}, which fusion rrf does not combine with — use fusion sum"
    for options in ({"fusion": "sum"}, {"fusion": "rrf", "mode": "bm25"}):
        await ask(ready, body=body, **options)


async def test_a_sort_by_score_is_what_ranks_give(ready: Any) -> None:
    await ask(ready, body={"sort": ["_score"]}, fusion="rrf")


async def test_the_window_of_ranks_has_the_limit_of_a_page(ready: Any) -> None:
    error = await refused(ready, fusion="rrf", fusion_window=100_000)
    assert error.reason == "this asks for hit 100,000, the limit is 10,000"
    await ask(ready, fusion_window=100_000)


async def test_windows_end_at_the_indexes_own_limit_and_it_is_said(ready: Any) -> None:
    ready.engine.max_window = 12
    result = await ask(ready, rerank=True, rerank_window=30, fusion="rrf")
    assert (result.rerank.status, result.rerank.window, result.rerank.reranked) == ("APPLIED", 12, 12)
    query = ready.engine.queries[-1]
    assert (query.size, query.fusion_window) == (12, 12)
    assert result.warnings == (
        "the rerank window of 30 hits is cut to index.max_result_window, 12",
        "the fusion window of 100 hits is cut to index.max_result_window, 12",
    )
    assert (await ask(ready, rerank=True, rerank_window=12)).warnings == ()
    error = await refused(ready, size=13)
    assert error.reason == "this asks for hit 13, the limit is 12"
    assert error.next_step == f"narrow the search, or raise index.max_result_window of {ready.index}"
    walked = await pages(ready, size=5, rerank=True, rerank_window=30)
    assert [len(page.hits) for page in walked] == [5, 5]
    assert walked[-1].warnings[-1] == "there are more hits, but pages end at hit 12"


async def test_a_search_for_no_hits_fetches_and_reranks_none(ready: Any) -> None:
    result = await ask(ready, size=0, rerank=True)
    assert (result.hits, result.total > 0, result.rerank.status) == ((), True, RerankStatus.NOT_REQUESTED)
    query = ready.engine.queries[-1]
    assert (query.size, query.with_codes, query.with_state) == (0, False, False)


async def test_the_engine_is_told_how_to_fuse(ready: Any) -> None:
    await ask(ready, fusion="rrf", rank_constant=10, fusion_window=30)
    query = ready.engine.queries[-1]
    assert (query.fusion, query.rank_constant, query.fusion_window, query.by_ranks) == ("rrf", 10, 30, True)
