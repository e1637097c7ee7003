"""SearchService over a real server."""

from __future__ import annotations

import pytest

from sidecar.errors import ChercheError, Code
from sidecar.testing import RunningServer
from sidecar.values.search import RerankStatus, SearchRequest


@pytest.mark.parametrize("mode", ["bm25", "sparse", "hybrid"])
async def test_searches_find_and_their_parts_add_up(fed: RunningServer, mode: str) -> None:
    request = SearchRequest("cars", "car", mode=mode)  # type: ignore[arg-type]  # a parametrized literal
    result = await fed.client.search(request)
    assert result.hits[0].id in ("0", "3")
    assert ("1" in [hit.id for hit in result.hits]) == (mode != "bm25")
    for hit in result.hits:
        assert hit.score == pytest.approx(hit.parts.lexical + hit.parts.sparse)
    assert result.rerank.status == RerankStatus.NOT_REQUESTED
    assert result.timings.engine > 0


async def test_a_rerank_is_explained(fed: RunningServer) -> None:
    result, explanations = await fed.client.explain(SearchRequest("cars", "car", rerank=True))
    assert result.rerank.status == RerankStatus.APPLIED
    assert [explanation.id for explanation in explanations] == [hit.id for hit in result.hits]
    for hit, explanation in zip(result.hits, explanations, strict=True):
        assert sum(term.contribution for term in explanation.terms) == pytest.approx(hit.parts.sparse, rel=1e-5)
        assert sum(match.similarity for match in explanation.matches) == pytest.approx(hit.parts.maxsim, rel=1e-5)
    _, chosen = await fed.client.explain(SearchRequest("cars", "car"), ids=[result.hits[0].id])
    assert [explanation.id for explanation in chosen] == [result.hits[0].id]


async def test_pages_continue(fed: RunningServer) -> None:
    first = await fed.client.search(SearchRequest("cars", "car", size=2, paginate=True))
    assert first.next_page_token
    again = SearchRequest("cars", "car", size=2, page_token=first.next_page_token)
    second = await fed.client.search(again)
    assert not {hit.id for hit in first.hits} & {hit.id for hit in second.hits}
    assert [hit.rank for hit in (*first.hits, *second.hits)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (SearchRequest("nowhere", "car"), Code.NOT_FOUND),
        (SearchRequest("", "car"), Code.INVALID_ARGUMENT),
        (SearchRequest("cars", " "), Code.INVALID_ARGUMENT),
        (SearchRequest("cars", "\ud800"), Code.INVALID_ARGUMENT),
        (SearchRequest("cars", "car", rerank_weight=2.0), Code.INVALID_ARGUMENT),
        (SearchRequest("cars", "car", page_token="forged"), Code.INVALID_ARGUMENT),
        (SearchRequest("cars", "x" * 10_000), Code.INVALID_ARGUMENT),
    ],
)
async def test_searches_that_make_no_sense_say_why(fed: RunningServer, request_: SearchRequest, code: Code) -> None:
    with pytest.raises(ChercheError) as caught:
        await fed.client.search(request_)
    assert caught.value.code is code
    assert caught.value.reason
    assert caught.value.next_step
