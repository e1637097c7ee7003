"""Page tokens, and the pages of a search."""

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import pytest

from cherche_models.types import TokenEmbeddings
from sidecar.errors import ChercheError, Code
from sidecar.pipeline.context import Limits
from sidecar.pipeline.pages import Page, PageSigner
from sidecar.values.search import RerankStatus
from tests.unit.sidecar.pipeline.searching import ask, pages, refused

PAGE = Page("pit", 10, "query", "print", 0.5, 100, True)


def test_a_page_survives_its_token() -> None:
    signer = PageSigner(b"k" * 16)
    assert signer.read(signer.write(PAGE)) == PAGE


def test_any_sidecar_with_the_key_reads_it_and_no_other() -> None:
    token = PageSigner(b"k" * 16).write(PAGE)
    assert PageSigner(b"k" * 16).read(token) == PAGE
    with pytest.raises(ChercheError, match="CHERCHE_PAGE_TOKEN_KEY") as caught:
        PageSigner(b"l" * 16).read(token)
    assert caught.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize("token", ["", "=", "é", "a", "abcd", "\ud800", "A" * 200])
def test_what_was_never_a_token_is_refused(token: str) -> None:
    with pytest.raises(ChercheError, match="not issued by this service"):
        PageSigner(b"k" * 16).read(token)


def test_a_token_that_another_release_put_more_into_is_refused_by_name() -> None:
    signer = PageSigner(b"k" * 16)
    body = json.dumps({**asdict(PAGE), "direction": "back"}).encode()
    token = base64.urlsafe_b64encode(signer._sign(body) + body).decode().rstrip("=")
    with pytest.raises(ChercheError, match="issued by another release"):
        signer.read(token)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="has 15 bytes, 16 are needed"):
        PageSigner(b"k" * 15)


def failing_maxsim(query: TokenEmbeddings, codes: Sequence[bytes | None]) -> Any:
    raise ValueError("no device")


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
    scores = [hit.score for page in found for hit in page.hits]
    assert scores == sorted(scores, reverse=True)


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
