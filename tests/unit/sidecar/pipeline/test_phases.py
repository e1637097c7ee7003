"""Beyond the vectors of tests/contract/phases.json: what the sidecar alone knows, and what an answer says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sidecar.pipeline.match_set import Membership
from sidecar.pipeline.phases import Phases, decide
from sidecar.values.index import Fingerprint, IndexMeta, TextField
from sidecar.values.search import SearchRequest
from tests.unit.sidecar.pipeline.searching import ask, pages, refused

META = IndexMeta("m", Fingerprint("s"), (TextField("text"),), 8, first_terms=12)
UNION = Membership("fox", "union", "")


def phases(*, several: bool = False, **given: Any) -> Phases:
    request = SearchRequest("books", "fox", **given)
    return decide(request, META, UNION, window=0, deepest=request.size, several=several)


def test_indices_of_several_models_have_one_phase() -> None:
    assert phases() == Phases(12, 1000)
    assert phases(several=True) == Phases(reason="the indices have several models")


def test_aggregations_are_known_by_both_names() -> None:
    assert phases(body={"aggregations": {}}) == Phases(reason="the request has aggregations")


def test_mode_sparse_has_one_ranking_whatever_the_fusion() -> None:
    assert phases(mode="sparse", fusion="rrf").terms == 12


async def test_the_engine_is_told_and_the_answer_says_what_ran(ready: Any) -> None:
    page = ready.engine.search

    async def two_phases(index: str, query: Any) -> Any:
        return replace(await page(index, query), first_terms=query.first_terms)

    ready.engine.search = two_phases
    result = await ask(ready, first_terms=1, candidates=20)
    [query] = ready.engine.queries
    assert (query.first_terms, query.candidates) == (1, 20)
    assert (result.sparse.first_terms, result.warnings) == (1, ())
    assert (await ask(ready)).sparse.first_terms == 0


async def test_a_wish_that_does_not_apply_is_answered_with_the_reason(ready: Any) -> None:
    result = await ask(ready, first_terms=1, body={"aggs": {}})
    assert result.warnings == ("all terms found hits, not the 1 heaviest: the request has aggs",)
    assert ready.engine.queries[-1].first_terms == 0


async def test_pages_end_with_the_candidates(ready: Any) -> None:
    found = await pages(ready, first_terms=1, candidates=12, size=5)
    assert [len(page.hits) for page in found] == [5, 5]
    assert found[-1].warnings == ("there are more hits, but pages end at hit 12",)
    exact = await pages(ready, size=5)
    assert [hit.id for page in found for hit in page.hits] == [hit.id for page in exact for hit in page.hits][:10]


async def test_a_page_of_another_number_of_phases_is_of_another_search(ready: Any) -> None:
    first = await ask(ready, first_terms=1, candidates=12, size=5, paginate=True)
    token = first.next_page_token
    for other in ({"first_terms": 0}, {"first_terms": 2}, {"first_terms": 1, "candidates": 13}):
        error = await refused(ready, **{"candidates": 12, **other}, size=5, page_token=token)
        assert error.reason == "the page token belongs to another search"
