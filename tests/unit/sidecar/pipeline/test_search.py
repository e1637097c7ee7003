import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cherche_models import codec
from cherche_models.types import TermWeights, TokenEmbeddings
from sidecar.errors import ChercheError, Code, overloaded, unavailable
from sidecar.pipeline import ingest, search
from sidecar.pipeline.context import Limits, numpy_maxsim
from sidecar.testing import FakeModel
from sidecar.values.documents import SourceDocument
from sidecar.values.index import IndexGroup, TextField
from sidecar.values.search import RerankStatus, SearchRequest, SearchResult

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def text_of(i: int) -> str:
    """More words the higher the number; every text has `common`."""
    return " ".join(["common", *(WORDS[: i % 10 + 1]), *(["filler"] * (i // 10))])


async def filled(world: Any, count: int = 40, **options: Any) -> Any:
    world.set_up(**options)
    documents = [SourceDocument(f"d{i:02}", f'{{"title": "t", "text": "{text_of(i)}"}}'.encode()) for i in range(count)]

    async def arriving() -> Any:
        for document in documents:
            yield document

    async for result in ingest(arriving(), world.index, world.context):
        assert result.error is None
    for encoder in world.encoders.encoders:
        encoder.calls.clear()
    return world


@pytest.fixture
async def ready(world: Any) -> Any:
    return await filled(world)


async def ask(world: Any, text: str = "common three", **options: Any) -> SearchResult:
    return await search(SearchRequest(index=world.index, text=text, **options), world.context)


async def refused(world: Any, **options: Any) -> ChercheError:
    with pytest.raises(ChercheError) as caught:
        await ask(world, **options)
    return caught.value


def ids(result: SearchResult) -> list[str]:
    return [hit.id for hit in result.hits]


# What is refused


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"text": ""}, "the query is empty"),
        ({"text": " \n"}, "the query is empty"),
        ({"text": "", "body": {"query": {}}}, "the query is empty, and mode hybrid encodes it"),
        ({"text": "", "body": {"query": {}}, "mode": "bm25", "rerank": True}, "and a rerank encodes it"),
        ({"text": "x" * 8193}, "the query has 8,193 characters, the limit is 8,192"),
        ({"text": "a\ud800"}, "lone surrogate"),
        ({"size": 0}, "size is 0"),
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


async def test_a_bm25_search_with_a_query_of_its_own_needs_no_text(ready: Any) -> None:
    await ask(ready, text="", mode="bm25", body={"query": {"match_all": {}}})
    assert ready.engine.queries[0].body == {"query": {"match_all": {}}}


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


async def test_broken_query_weights_are_no_search(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    error = await refused(ready, text="notanumber")
    assert error.code is Code.INTERNAL
    assert "gave NaN or infinite weights for this query" in error.reason


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


async def test_query_modes(ready: Any) -> None:
    text = "common common common three four"
    await ask(ready, text, query_mode="pruned", query_terms=1)
    [clause] = ready.engine.queries[-1].clauses
    assert clause.name == f"h{ready.encoder.model.token_id('common') - 6}"
    ready.encoder.calls.clear()
    result = await ask(ready, text, query_mode="doc_only")
    assert not ready.encoder.calls
    weights = {c.id: c.weight for c in ready.engine.queries[-1].clauses}
    n, df = 40, 28  # `three` is in every text of 3 to 9
    assert weights[ready.encoder.model.token_id("three")] == pytest.approx(np.log1p((n - df + 0.5) / (df + 0.5)))
    assert result.query_terms == 3
    assert [c.weight for c in ready.engine.queries[-1].clauses] == sorted(weights.values(), reverse=True)


async def test_doc_only_prefers_the_models_own_table(ready: Any) -> None:
    ready.encoder.idfs = {ready.encoder.model.token_id("three"): 4.5}
    await ask(ready, query_mode="doc_only")
    assert [c.weight for c in ready.engine.queries[-1].clauses] == [4.5]
    assert not ready.engine.calls["document_frequencies"]


async def test_a_query_without_weights_says_so(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeModel, "_weights", lambda *_: TermWeights.empty())
    assert "the query has no term weights" in (await ask(ready)).warnings[0]
    assert (await ask(ready, mode="sparse")).hits == ()
    assert (await ask(ready, mode="bm25")).warnings == ()


async def test_a_query_that_a_mode_does_not_use_is_told(ready: Any) -> None:
    body = {"query": {"match": {"text": "{{text}}"}}}
    [warning] = (await ask(ready, mode="sparse", body=body)).warnings
    assert "mode sparse leaves out the query of the search body" in warning
    assert (await ask(ready, body=body)).warnings == ()


async def test_a_truncated_query_says_so(make_world: Callable[..., Any]) -> None:
    world = await filled(make_world(FakeModel(max_length=10)))
    [warning] = (await ask(world, " ".join(WORDS * 2))).warnings
    assert warning == "the query has 22 tokens; the model read the first 10"


async def test_terms_that_the_engine_left_out_are_not_counted(ready: Any) -> None:
    ready.engine.change = lambda page: replace(page, clauses=1, warnings=("1 of 2 query terms left out",))
    result = await ask(ready)
    assert result.query_terms == 1
    assert result.warnings == ("1 of 2 query terms left out",)


async def test_the_body_decides_who_is_a_hit(ready: Any) -> None:
    await ask(ready, body={"aggs": {"a": {}}})
    await ask(ready)
    assert [query.match_set for query in ready.engine.queries] == ["lexical", "union"]


async def test_timings_name_every_stage(ready: Any) -> None:
    ticks = iter(range(100))
    result = await ask(ready.with_context(clock=lambda: float(next(ticks))), rerank=True)
    timings = result.timings
    assert (timings.tokenize, timings.queue, timings.encode) == (0.25, 0.5, 1.0)  # one pass, counted once
    assert timings.engine > 0
    assert timings.rerank > 0
    assert timings.total >= timings.engine + timings.rerank


# The rerank


def fused(result: SearchResult) -> None:
    """Parts of reranked hits add up to the score, whose order they follow."""
    w = result.rerank.weight
    inside = [hit for hit in result.hits if hit.parts.first_stage_rank <= result.rerank.window]
    for hit in inside:
        parts = hit.parts
        assert parts.first_stage_scaled is not None
        assert parts.maxsim_scaled is not None
        assert hit.score == pytest.approx((1 - w) * parts.first_stage_scaled + w * parts.maxsim_scaled)
    assert [(hit.score, hit.id) for hit in inside] == sorted(
        ((hit.score, hit.id) for hit in inside), key=lambda pair: (-pair[0], pair[1])
    )


async def test_a_rerank_permutes_the_window_and_leaves_the_rest_below(ready: Any) -> None:
    documents = ready.engine.documents
    documents["d04"] = replace(documents["d04"], codes=documents["d00"].codes)  # neither word
    plain = await ask(ready, "three four", mode="bm25", size=40)
    result = await ask(ready, "three four", mode="bm25", size=40, rerank=True, rerank_window=10, rerank_weight=1.0)
    assert sorted(ids(result)[:10]) == sorted(ids(plain)[:10])
    assert (ids(plain)[0], ids(result)[9]) == ("d04", "d04")
    assert ids(result)[10:] == ids(plain)[10:]
    assert [hit.rank for hit in result.hits] == list(range(1, len(result.hits) + 1))
    assert all(hit.parts.maxsim is None for hit in result.hits[10:])
    assert result.rerank == replace(
        result.rerank, status=RerankStatus.APPLIED, reason="", window=10, reranked=10, codes_missing=0, weight=1.0
    )
    fused(result)


async def test_maxsim_is_of_the_stored_codes(ready: Any) -> None:
    result = await ask(ready, "three four", rerank=True)
    [query] = ready.encoder.model.encode(ready.encoder.model.tokenize(["three four"], "query"), "query")
    for hit in result.hits:
        stored = codec.unpack_codes(ready.engine.documents[hit.id].codes)
        expected = (query.embeddings.vectors @ stored.vectors.T).max(axis=1).sum()
        assert hit.parts.maxsim == pytest.approx(expected, abs=1e-5)
    fused(result)


async def test_weight_zero_keeps_the_first_stage_order(ready: Any) -> None:
    assert ids(await ask(ready, rerank=True, rerank_weight=0.0)) == ids(await ask(ready))


async def test_the_index_decides_weight_and_window_unless_the_caller_does(world: Any) -> None:
    await filled(world, rerank_weight=0.25, rerank_window=7)
    outcome = (await ask(world, rerank=True)).rerank
    assert (outcome.weight, outcome.window) == (0.25, 7)
    outcome = (await ask(world, rerank=True, rerank_weight=0.0, rerank_window=3)).rerank
    assert (outcome.weight, outcome.window) == (0.0, 3)


@pytest.mark.parametrize(
    ("mode", "query_mode", "passes"), [("hybrid", "full", 1), ("hybrid", "doc_only", 1), ("bm25", "full", 1)]
)
async def test_a_joint_model_makes_one_pass(ready: Any, mode: Any, query_mode: Any, passes: int) -> None:
    result = await ask(ready, mode=mode, query_mode=query_mode, rerank=True)
    assert result.rerank.status == RerankStatus.APPLIED
    assert ready.encoder.calls == [("query", 1)] * passes


async def test_two_models_make_one_pass_each(make_world: Callable[..., Any]) -> None:
    sparse, late = FakeModel("sparse", late_interaction=False), FakeModel("late", sparse=False)
    world = await filled(make_world(sparse, late), reranker="late")
    result = await ask(world, rerank=True)
    assert result.rerank.status == RerankStatus.APPLIED
    assert [encoder.calls for encoder in world.encoders.encoders] == [[("query", 1)]] * 2
    assert result.timings.encode == 2.0
    fused(result)
    for encoder in world.encoders.encoders:
        encoder.calls.clear()
    await ask(world, mode="bm25", rerank=True)
    assert [encoder.calls for encoder in world.encoders.encoders] == [[], [("query", 1)]]


async def test_hits_without_codes_keep_their_first_stage_share(ready: Any) -> None:
    top = ids(await ask(ready))[:3]
    for id in top:
        ready.engine.documents[id] = replace(ready.engine.documents[id], codes=None)
    result = await ask(ready, rerank=True, rerank_window=10)
    assert (result.rerank.status, result.rerank.reranked, result.rerank.codes_missing) == (RerankStatus.PARTIAL, 7, 3)
    assert result.rerank.reason == "3 of 10 hits have no token codes: feed their documents again"
    for hit in result.hits:
        assert (hit.parts.maxsim is None) == (hit.id in top)
        assert hit.id not in top or hit.parts.maxsim_scaled == 0.0
    fused(result)


@pytest.mark.parametrize(
    ("damaged", "why"),
    [
        (b"CC", "these 2 bytes are not token codes"),
        (codec.pack_codes(TokenEmbeddings(np.ones((2, 8), np.float32))), "8 dimensions, 16 are wanted"),
        (codec.pack_codes(TokenEmbeddings(np.empty((0, 16), np.float32))), "hold no token that the model knows"),
    ],
)
async def test_one_damaged_document_costs_only_itself(ready: Any, damaged: bytes, why: str) -> None:
    [top, *_] = ids(await ask(ready))
    ready.engine.documents[top] = replace(ready.engine.documents[top], codes=damaged)
    result = await ask(ready, rerank=True, rerank_window=5)
    assert (result.rerank.status, result.rerank.reranked, result.rerank.codes_missing) == (RerankStatus.PARTIAL, 4, 1)
    assert why in result.rerank.reason


async def test_no_codes_at_all_is_the_first_stages_order(ready: Any) -> None:
    plain = await ask(ready)
    ready.engine.documents = {id: replace(d, codes=None) for id, d in ready.engine.documents.items()}
    result = await ask(ready, rerank=True)
    assert result.hits == plain.hits
    outcome = result.rerank
    assert (outcome.status, outcome.reranked, outcome.codes_missing) == (RerankStatus.CODES_MISSING, 0, outcome.window)


async def test_no_hits_are_reranked_hits(ready: Any) -> None:
    outcome = (await ask(ready, "nowhere", mode="bm25", rerank=True)).rerank
    assert (outcome.status, outcome.window, outcome.reason) == (RerankStatus.APPLIED, 0, "there were no hits")


async def test_another_order_is_not_reranked(ready: Any) -> None:
    result = await ask(ready, rerank=True, body={"sort": ["year"]})
    assert result.rerank.status == RerankStatus.SKIPPED_SORT
    assert (result.rerank.window, result.rerank.reranked) == (100, 0)
    assert len(result.hits) == 10
    assert not ready.engine.queries[-1].with_codes


async def test_time_that_runs_out_in_maxsim_keeps_the_first_stage(ready: Any) -> None:
    plain, gate = await ask(ready), threading.Event()

    def slow(query: TokenEmbeddings, codes: Sequence[bytes | None]) -> Any:
        gate.wait(10)
        return numpy_maxsim(query, codes)

    now = asyncio.get_running_loop().time()
    world = ready.with_context(maxsim=slow, clock=asyncio.get_running_loop().time, deadline=now + 0.05)
    try:
        result = await ask(world, rerank=True)
    finally:
        gate.set()
    assert (result.rerank.status, result.rerank.reranked) == (RerankStatus.DEADLINE, 0)
    assert result.hits == plain.hits


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ChercheError(Code.DEADLINE_EXCEEDED, "too late"), RerankStatus.DEADLINE),
        (unavailable("gone"), RerankStatus.UNAVAILABLE),
        (overloaded("full", 1.0), RerankStatus.UNAVAILABLE),
    ],
)
@pytest.mark.parametrize("joint", [True, False])
async def test_a_reranker_that_fails_costs_only_the_rerank(
    make_world: Callable[..., Any], error: ChercheError, status: str, joint: bool
) -> None:
    """With a joint model this holds where the first stage needs no pass of its own."""
    if joint:
        world = await filled(make_world(FakeModel()))
        options: dict[str, Any] = {"query_mode": "doc_only"}
    else:
        sparse, late = FakeModel("sparse", late_interaction=False), FakeModel("late", sparse=False)
        world = await filled(make_world(sparse, late), reranker="late")
        options = {}
    plain = await ask(world, **options)
    world.encoders.encoders[-1].refusals = [error]
    result = await ask(world, rerank=True, **options)
    assert (result.rerank.status, result.rerank.reason) == (status, str(error))
    assert result.rerank.window == 100
    assert result.hits == plain.hits


async def test_a_reranker_that_is_not_served_costs_only_the_rerank(make_world: Callable[..., Any]) -> None:
    sparse, late = FakeModel("sparse", late_interaction=False), FakeModel("late", sparse=False)
    world = await filled(make_world(sparse, late), reranker="late")
    del world.encoders.encoders[1]
    result = await ask(world, rerank=True)
    assert result.rerank.status == RerankStatus.UNAVAILABLE
    assert "cherche serve --model late=PATH" in result.rerank.reason
    assert len(result.hits) == 10


async def test_a_query_of_which_the_reranker_keeps_nothing(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeModel, "kept", lambda *_: [])
    result = await ask(ready, rerank=True)
    assert (result.rerank.status, result.rerank.reason) == (
        RerankStatus.UNAVAILABLE,
        "the reranker kept no token of this query",
    )
    assert len(result.hits) == 10


# On the fly


async def test_an_index_that_was_never_set_up_is_reranked_on_the_fly(world: Any) -> None:
    await filled(world)
    stored = await ask(world, mode="bm25", rerank=True)
    world.engine.metas[world.index] = None
    result = await ask(world, mode="bm25", rerank=True, fields=("title", "text"))
    assert result.rerank.status == RerankStatus.APPLIED
    assert ids(result) == ids(stored)
    assert [hit.parts.maxsim for hit in result.hits] == pytest.approx([hit.parts.maxsim for hit in stored.hits])
    assert ("document", 40) in world.encoder.calls
    assert world.encoder.lanes[-1] == "query"
    assert result.fingerprint.sparse == ""


async def test_an_index_without_stored_codes_is_reranked_on_the_fly(world: Any) -> None:
    shared = (TextField("title", 0.1), TextField("text"))
    await filled(world, codec="none", fields=shared)
    result = await ask(world, rerank=True, rerank_window=20)
    assert (result.rerank.status, result.rerank.reranked) == (RerankStatus.APPLIED, 20)
    assert not world.engine.queries[-1].with_codes
    fused(result)


async def test_a_text_is_encoded_on_the_fly_once(world: Any) -> None:
    await filled(world, codec="none")
    first = await ask(world, rerank=True, rerank_window=20)
    assert ("document", 20) in world.encoder.calls
    world.encoder.calls.clear()
    assert (await ask(world, rerank=True, rerank_window=20)).hits == first.hits
    assert world.encoder.calls == [("query", 1)]
    await ask(world, rerank=True, rerank_window=25)
    assert ("document", 5) in world.encoder.calls


async def test_on_the_fly_hits_without_text_and_poison_are_counted(world: Any) -> None:
    await filled(world)
    world.engine.metas[world.index] = None
    documents = world.engine.documents
    documents["d03"] = replace(documents["d03"], source={"title": 3, "text": "common"})
    documents["d13"] = replace(documents["d13"], source={"text": "common poison"})
    result = await ask(world, mode="bm25", rerank=True)
    assert (result.rerank.status, result.rerank.codes_missing) == (RerankStatus.PARTIAL, 2)
    assert result.rerank.reason == "2 of 40 hits have no text that can be encoded"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ChercheError(Code.DEADLINE_EXCEEDED, "too late"), RerankStatus.DEADLINE),
        (overloaded("full", 1.0), RerankStatus.UNAVAILABLE),
    ],
)
async def test_on_the_fly_an_encoder_that_fails_costs_only_the_rerank(
    world: Any, error: ChercheError, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(world, codec="none")
    encode = world.encoder.encode

    async def failing(texts: Any, kind: str, **options: Any) -> Any:
        if kind == "document":
            raise error
        return await encode(texts, kind, **options)

    monkeypatch.setattr(world.encoder, "encode", failing)
    result = await ask(world, rerank=True)
    assert (result.rerank.status, result.rerank.reason) == (status, str(error))
    assert result.hits == (await ask(world)).hits


@pytest.mark.parametrize(
    ("wanted", "returned"),
    [(("year",), set()), (("title",), {"title"}), (("t*",), {"title", "text"}), ((), {"title", "text"})],
)
async def test_fields_that_only_the_rerank_needed_are_taken_back(
    world: Any, wanted: tuple[str, ...], returned: set[str]
) -> None:
    await filled(world, codec="none")
    result = await ask(world, rerank=True, source_fields=wanted)
    assert set(world.engine.queries[-1].source_fields) >= set(wanted)
    assert {name for hit in result.hits for name in hit.source} == returned


async def test_a_named_model_that_is_not_served_is_the_callers_mistake(world: Any) -> None:
    world.engine.metas[world.index] = None
    error = await refused(world, mode="bm25", rerank=True, model="nobody")
    assert error.code is Code.NOT_FOUND


async def test_a_model_without_that_head_cannot_rerank(make_world: Callable[..., Any]) -> None:
    world = await filled(make_world(FakeModel("sparse", late_interaction=False)))
    outcome = (await ask(world, rerank=True)).rerank
    assert outcome.status == RerankStatus.UNAVAILABLE
    assert outcome.reason.endswith("set the index up with --reranker")
    world.engine.metas[world.index] = None
    outcome = (await ask(world, mode="bm25", rerank=True)).rerank
    assert outcome.reason.endswith("name a ColBERT or joint model")


# Pages


async def pages(world: Any, **options: Any) -> list[SearchResult]:
    found = [await ask(world, paginate=True, **options)]
    while token := found[-1].next_page_token:
        found.append(await ask(world, paginate=True, page_token=token, **options))
    return found


@pytest.mark.parametrize("size", [1, 3, 7, 10, 20, 39, 40, 41, 100])
@pytest.mark.parametrize("window", [0, 5, 10, 40, 60])
async def test_pages_hold_every_hit_once_in_the_order_of_one_large_page(ready: Any, size: int, window: int) -> None:
    options: dict[str, Any] = {"rerank": window > 0, "rerank_window": window, "rerank_weight": 0.7}
    whole = await ask(ready, size=100, **options)
    found = await pages(ready, size=size, **options)
    assert [hit for page in found for hit in page.hits] == list(whole.hits)
    assert len(found) == -(-40 // size)  # no empty page at the end
    assert ready.engine.closed == ["pit"]
    assert [page.rerank.status for page in found] == [
        RerankStatus.NOT_REQUESTED
        if not window
        else RerankStatus.APPLIED
        if number * size < window
        else RerankStatus.OUTSIDE_WINDOW
        for number in range(len(found))
    ]
    assert {page.rerank.window for page in found} <= {0, window, min(window, 40)}


async def test_without_pages_no_point_in_time_is_opened(ready: Any) -> None:
    assert (await ask(ready)).next_page_token == ""
    assert not ready.engine.queries[-1].keep_pit
    assert not ready.engine.closed


async def test_a_page_token_carries_weight_and_window(ready: Any) -> None:
    first = await ask(ready, paginate=True, rerank=True, rerank_weight=0.9, rerank_window=20, size=5)
    second = await ask(ready, paginate=True, rerank=True, page_token=first.next_page_token, size=5)
    assert (second.rerank.weight, second.rerank.window) == (0.9, 20)
    assert ready.engine.queries[-1].pit == "pit"


@pytest.mark.parametrize(
    "change",
    [{"text": "another"}, {"mode": "sparse"}, {"rerank": True}, {"body": {"filter": []}}, {"sparse_boost": 2.0}],
)
async def test_a_token_continues_only_its_own_search(ready: Any, change: dict[str, Any]) -> None:
    token = (await ask(ready, paginate=True)).next_page_token
    error = await refused(ready, **{"page_token": token, "paginate": True, **change})
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "the page token belongs to another search")


async def test_a_token_ends_with_the_settings_it_was_made_under(ready: Any) -> None:
    token = (await ask(ready, paginate=True)).next_page_token
    ready.set_up(prune="top_k:3")
    error = await refused(ready, page_token=token, paginate=True)
    assert error.code is Code.FAILED_PRECONDITION
    assert "the index was set up anew" in error.reason


async def test_an_expired_point_in_time_says_so(ready: Any) -> None:
    token = (await ask(ready, paginate=True)).next_page_token
    ready.engine.failures["search"] = ChercheError(Code.FAILED_PRECONDITION, "the point in time expired")
    assert (await refused(ready, page_token=token, paginate=True)).reason == "the point in time expired"


async def test_pages_after_one_that_was_not_reranked_keep_its_order(ready: Any) -> None:
    plain = await ask(ready, size=40)
    maxsim, ready = ready.context.maxsim, ready.with_context(maxsim=failing_maxsim)
    first = await ask(ready, paginate=True, rerank=True, size=5)
    assert first.rerank.status == RerankStatus.UNAVAILABLE
    mended = ready.with_context(maxsim=maxsim)
    second = await ask(mended, paginate=True, rerank=True, size=5, page_token=first.next_page_token)
    assert second.rerank.status == RerankStatus.UNAVAILABLE
    assert "the pages before were not reranked" in second.rerank.reason
    assert [*first.hits, *second.hits] == list(plain.hits[:10])


async def test_a_page_that_cannot_follow_the_order_before_it_fails_and_its_token_stays_good(ready: Any) -> None:
    first = await ask(ready, paginate=True, rerank=True, size=5)
    broken = ready.with_context(maxsim=failing_maxsim)
    error = await refused(broken, paginate=True, rerank=True, size=5, page_token=first.next_page_token)
    assert error.code is Code.UNAVAILABLE
    assert "this page could not be reranked as those before it: no device" in error.reason
    whole = await ask(ready, rerank=True, size=10)
    second = await ask(ready, paginate=True, rerank=True, size=5, page_token=first.next_page_token)
    assert [*first.hits, *second.hits] == list(whole.hits)


async def test_pages_end_at_the_limit_and_say_so(ready: Any) -> None:
    ready = ready.with_context(limits=Limits(window=20))
    found = await pages(ready, size=8)
    assert [len(page.hits) for page in found] == [8, 8]
    assert found[-1].warnings == ("there are more hits, but pages end at hit 20",)
    assert ready.engine.closed == ["pit"]


async def test_a_total_that_is_a_lower_bound_ends_no_page(ready: Any) -> None:
    ready.engine.change = lambda page: replace(page, total=10, total_is_lower_bound=True)
    found = await pages(ready, size=10)
    assert sum(len(page.hits) for page in found) == 40
    assert ready.engine.closed == ["pit"]


def failing_maxsim(query: TokenEmbeddings, codes: Sequence[bytes | None]) -> Any:
    raise ValueError("no device")


# A name that is switched to another index while it is searched


class Switched:
    """An index that is gone for its first search; the name says so from its `told`-th asking on."""

    def __init__(self, world: Any, told: int, answer: Callable[[Any], Any]) -> None:
        self.world, self.told, self.answer, self.asked, self.searches = world, told, answer, 0, 0
        self.search, world.engine.search = world.engine.search, self._search
        world.engine.groups = self._groups

    async def _groups(self, index: str) -> Any:
        self.asked += 1
        name = "after" if self.asked >= self.told else "before"
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
@pytest.mark.parametrize("told", [2, 3])
async def test_a_search_that_met_a_switch_is_asked_again(ready: Any, answer: Any, told: int) -> None:
    switched = Switched(ready, told, answer)
    assert len((await ask(ready)).hits) == 10
    assert switched.searches == 2


async def test_what_fails_without_a_switch_fails(ready: Any) -> None:
    switched = Switched(ready, 1000, gone)
    assert (await refused(ready)).code is Code.UNAVAILABLE
    assert switched.searches == 1


async def test_an_incomplete_page_without_a_switch_is_shown(ready: Any) -> None:
    Switched(ready, 1000, half)
    assert len((await ask(ready)).hits) == 1
