"""Searches that are reranked, by stored codes and by codes made on the fly."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cherche_models import codec
from cherche_models.types import TokenEmbeddings
from sidecar.errors import ChercheError, Code, overloaded, unavailable
from sidecar.testing import FakeModel
from sidecar.values.index import TextField
from sidecar.values.search import RerankStatus, SearchResult
from tests.unit.sidecar.pipeline.searching import ask, filled, ids, refused


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
    scores = [hit.score for hit in result.hits]
    assert scores == sorted(scores, reverse=True)
    assert min(scores[:10]) >= 0 > max(scores[10:])
    assert [hit.score for hit in result.hits[10:]] == [-1 / (1 + hit.parts.first_stage) for hit in result.hits[10:]]
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
        return codec.maxsim(query, codes)

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
    assert world.encoder.lanes[-1] == "rerank"
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
    documents["d03"] = replace(documents["d03"], source={"title": {"en": 3}, "text": "common"})
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
    encode = world.encoder.encode_tokens

    async def failing(tokens: Any, kind: str, **options: Any) -> Any:
        if kind == "document":
            raise error
        return await encode(tokens, kind, **options)

    monkeypatch.setattr(world.encoder, "encode_tokens", failing)
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
