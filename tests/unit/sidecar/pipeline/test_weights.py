"""What searches of Seismic's weights are told, and what is refused instead of answered wrongly."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from sidecar.errors import ChercheError, Code
from sidecar.pipeline.explain import _terms
from sidecar.pipeline.phases import Phases, decide
from sidecar.pipeline.plan import plan
from sidecar.pipeline.query import idf_weights
from sidecar.pipeline.weights import check_plugin, weights_of
from sidecar.rpc.plugin import _searched
from sidecar.values.first_stage import EngineHit
from sidecar.values.index import Fingerprint, IndexGroup, IndexMeta, TextField
from sidecar.values.search import SearchRequest
from tests.unit.sidecar.pipeline.searching import ask
from tests.unit.sidecar.pipeline.test_phases import UNION

META = IndexMeta("m", Fingerprint("s"), (TextField("text"),), 8, naming="id", weights="seismic")
RANKED = replace(META, weights="rank_features")


def test_indices_of_one_setup_are_searched_together() -> None:
    assert weights_of([IndexGroup(("a", "b"), META)]) == "seismic"
    assert weights_of([IndexGroup(("a",), RANKED), IndexGroup(("b",), None)]) == "rank_features"
    for other in (RANKED, None, replace(META, model="other")):
        with pytest.raises(ChercheError, match="a, b: a neural_sparse query") as refused:
            weights_of([IndexGroup(("a",), META), IndexGroup(("b",), other)])
        assert refused.value.code is Code.FAILED_PRECONDITION


async def test_the_engine_is_told_of_indices_that_are_searched_by_weights(ready: Any) -> None:
    await ask(ready)
    assert ready.engine.queries[-1].weights == "rank_features"
    ready.engine.metas[ready.index] = replace(ready.engine.metas[ready.index], weights="seismic")
    await ask(ready, candidates=200)
    assert (ready.engine.queries[-1].weights, ready.engine.queries[-1].candidates) == ("seismic", 200)
    await ask(ready, mode="bm25")
    assert ready.engine.queries[-1].weights == "rank_features"


async def test_pages_end_with_the_candidates_of_the_first(ready: Any) -> None:
    request = SearchRequest(ready.index, "blue sky", size=10, paginate=True, candidates=200)
    whole = (await plan(request, ready.context)).limit
    ready.engine.metas[ready.index] = replace(ready.engine.metas[ready.index], weights="seismic")
    assert whole > (await plan(request, ready.context)).limit == 200
    assert (await plan(replace(request, size=500), ready.context)).limit == 500
    for other in (replace(request, mode="bm25"), replace(request, fusion="rrf")):
        assert (await plan(other, ready.context)).limit == whole


def test_seismic_has_one_phase_and_as_many_candidates_as_are_asked_for() -> None:
    request = SearchRequest("a", "fox", candidates=50)
    given: dict[str, Any] = {"window": 100, "deepest": 10, "several": False}
    assert decide(request, META, UNION, **given) == Phases(0, 100)
    reason = "Seismic chooses the terms that find candidates"
    assert decide(replace(request, first_terms=8), META, UNION, **given) == Phases(0, 100, reason)


async def test_terms_are_not_weighed_by_counts_that_nobody_can_take(ready: Any) -> None:
    request = SearchRequest(ready.index, "blue sky", query_mode="doc_only")
    with pytest.raises(ChercheError, match="cannot be counted by seismic weights") as refused:
        await idf_weights(request, ready.encoder, META, ready.context)
    assert refused.value.next_step == "use the query mode full or pruned"


def test_the_plugin_is_refused_its_queries_and_not_its_documents() -> None:
    check_plugin(RANKED)
    with pytest.raises(ChercheError, match="which the plugin's query processor does not search") as refused:
        _searched(json.dumps(META.to_json()).encode())
    assert refused.value.code is Code.FAILED_PRECONDITION
    assert _searched(json.dumps(RANKED.to_json()).encode()) == RANKED


class _Found:
    sparse = object()
    meta = META


def test_weights_that_were_not_scored_explain_nothing() -> None:
    terms, [note] = _terms(EngineHit("1", 3.0, lexical=3.0, terms=b"t"), _Found())  # type: ignore[arg-type]
    assert terms == ()
    assert note.startswith("Seismic did not score the weights of this hit")
