"""Fusion by reciprocal ranks, on every engine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cherche_models import fuse
from sidecar.engines.opensearch.http import Request

QUERY = {"sun": 1.5, "star": 0.25}


@pytest.fixture
async def filled(bench):
    """BM25 falls with the number, as texts grow longer; the sparse score rises, of every third document only."""
    await bench.fill(
        *(
            bench.document(
                f"{i:02}",
                "sun " + "filler " * i if i % 4 else "nothing here",
                {"sun": 0.5 + i / 16} if i % 3 == 0 else {"moon": 1.0},
                group=i % 5,
            )
            for i in range(24)
        )
    )
    return bench


async def expected(bench, constant=60, window=100, **options):
    """The order that both rankings give, from searches for one part alone."""
    options = {"size": window, **options}
    lists = [[hit.id for hit in (await bench.search("sun", QUERY, mode=m, **options)).hits] for m in ("bm25", "sparse")]
    ranks = fuse.ranks(lists)
    scores = {id: fuse.reciprocal(places, constant) for id, places in ranks.items()}
    order = sorted(scores, key=lambda id: (-scores[id], id))
    return [(id, pytest.approx(scores[id]), *ranks[id]) for id in order]


def found(page):
    return [(hit.id, hit.score, hit.lexical_rank, hit.sparse_rank) for hit in page.hits]


@pytest.mark.parametrize(("constant", "window"), [(60, 100), (1, 100), (60, 5)])
async def test_hits_are_in_the_order_of_both_rankings(filled, constant, window):
    options = {"fusion": "rrf", "rank_constant": constant, "fusion_window": window}
    page = await filled.search("sun", QUERY, size=50, **options)
    assert found(page) == await expected(filled, constant, window)
    by_sum = await filled.search("sun", QUERY, size=50)
    assert (page.total, page.total_is_lower_bound) == (by_sum.total, False)
    assert found(by_sum) != found(page)
    # The parts are those of the scores, whether or not a hit is within the window of a part.
    parts = {hit.id: (hit.lexical, hit.sparse) for hit in by_sum.hits}
    assert {hit.id: (hit.lexical, hit.sparse) for hit in page.hits} == {
        hit.id: pytest.approx(parts[hit.id], rel=1e-5, abs=1e-6) for hit in page.hits
    }


async def test_pages_are_cut_from_one_order(filled):
    whole = await filled.search("sun", QUERY, size=50, fusion="rrf")
    pages = [await filled.search("sun", QUERY, size=7, offset=offset, fusion="rrf") for offset in range(0, 49, 7)]
    assert [hit for page in pages for hit in found(page)] == found(whole)
    assert pages[-1].hits == ()
    assert {page.total for page in pages} == {whole.total}


async def test_a_filter_and_the_match_set_bind_both_rankings(filled):
    body = {"filter": {"range": {"group": {"lt": 3}}}}
    page = await filled.search("sun", QUERY, size=50, fusion="rrf", body=body)
    assert found(page) == await expected(filled, body=body)
    page = await filled.search("sun", QUERY, size=50, fusion="rrf", match_set="lexical")
    by_sum = await filled.search("sun", QUERY, size=50, match_set="lexical")
    assert {hit.id for hit in page.hits} == {hit.id for hit in by_sum.hits}
    assert page.total == by_sum.total == len(page.hits)
    assert all(hit.lexical_rank for hit in page.hits)
    assert sorted(hit.sparse_rank for hit in page.hits if hit.sparse_rank) == list(range(1, 7))


async def test_what_is_stored_and_asked_for_comes_with_the_hits(filled):
    options = {"size": 3, "with_terms": True, "with_codes": True, "source_fields": ("group",)}
    page = await filled.search("sun", QUERY, fusion="rrf", **options)
    by_id = {hit.id: hit for hit in (await filled.search("sun", QUERY, **{**options, "size": 50})).hits}
    for hit in page.hits:
        other = by_id[hit.id]
        assert (hit.source, hit.terms, hit.codes) == (other.source, other.terms, other.codes)


async def test_one_part_alone_is_not_fused(filled):
    for options in ({"mode": "bm25"}, {"mode": "sparse"}, {"clauses": ()}):
        page = await filled.search("sun", QUERY, fusion="rrf", **options)
        assert page.hits == (await filled.search("sun", QUERY, **options)).hits
        assert {hit.lexical_rank for hit in page.hits} == {None}


async def test_nothing_is_found(filled):
    page = await filled.search("unheard", {"%": 1.0}, fusion="rrf")
    assert (page.hits, page.total) == ((), 0)


@pytest.mark.parametrize("engine_name", ["opensearch", "elasticsearch"], indirect=True)
async def test_pages_of_a_point_in_time_do_not_see_later_writes(filled):
    first = await filled.search("sun", QUERY, size=5, fusion="rrf", keep_pit=True)
    before = await filled.search("sun", QUERY, size=50, fusion="rrf")
    await filled.fill(filled.document("new", "sun", {"sun": 9.0}))
    second = await filled.search("sun", QUERY, size=45, offset=5, fusion="rrf", pit=first.pit)
    assert found(first) + found(second) == found(before)
    await filled.engine.close_pit(second.pit)


@pytest.mark.parametrize("engine_name", ["opensearch", "elasticsearch"], indirect=True)
async def test_aggregations_and_highlights_are_those_of_the_sum(filled):
    body = {
        "aggs": {"groups": {"terms": {"field": "group"}}},
        "highlight": {"fields": {"text": {}}},
        "track_total_hits": True,
    }
    page = await filled.search("sun", QUERY, size=4, fusion="rrf", body=body)
    by_sum = await filled.search("sun", QUERY, size=50, body=body)
    assert page.aggregations == by_sum.aggregations
    assert page.total == by_sum.total
    extras = {hit.id: hit.extra for hit in by_sum.hits}
    assert [hit.extra for hit in page.hits] == [extras[hit.id] for hit in page.hits]
    assert len(page.request["ranked_by"]) == 2


@pytest.mark.parametrize("engine_name", ["opensearch"], indirect=True)
async def test_documents_of_one_id_in_two_indices_are_two_hits(filled):
    other = replace(filled, index=f"{filled.index}-b")
    await other.engine.setup(other.index, other.meta)
    await other.fill(other.document("01", "sun and moon", {"sun": 7.0}))
    try:
        both = replace(filled, index=f"{filled.index}*")
        page = await both.search("sun", QUERY, size=50, fusion="rrf")
        assert [hit.index for hit in page.hits if hit.id == "01"] == [other.index, filled.index]
        assert page.indices == (filled.index, other.index)
    finally:
        await other.engine._http.send(Request("DELETE", f"/{other.index}"), what="test")
