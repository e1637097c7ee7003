"""The first stage: modes, membership, parts, order, pages."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from cherche_models.codes.terms import unpack_terms
from cherche_models.naming import escape
from sidecar.errors import ChercheError, Code
from sidecar.values.index import TextField

DOCUMENTS = {
    "both": ("sun and moon rise", {"sun": 2.0, "star": 1.0}),
    "lexical": ("sun over mountains", {"moon": 1.0}),
    "sparse": ("nothing shared here", {"sun": 1.0, "star": 3.0}),
    "neither": ("something else entirely", {"moon": 2.0}),
    "pending": ("sun without weights", None),
}
QUERY = {"sun": 1.5, "star": 0.5}


@pytest.fixture
async def filled(bench):
    await bench.fill(*(bench.document(id, text, weights) for id, (text, weights) in DOCUMENTS.items()))
    return bench


def ids(page):
    return {hit.id for hit in page.hits}


@pytest.mark.parametrize(
    ("mode", "match_set", "expected"),
    [
        ("bm25", "union", {"both", "lexical", "pending"}),
        ("sparse", "union", {"both", "sparse"}),
        ("hybrid", "union", {"both", "lexical", "sparse", "pending"}),
        ("hybrid", "lexical", {"both", "lexical", "pending"}),
    ],
)
async def test_who_is_a_hit(filled, mode, match_set, expected):
    page = await filled.search("sun", QUERY, mode=mode, match_set=match_set)
    assert ids(page) == expected
    assert (page.total, page.total_is_lower_bound) == (len(expected), False)
    assert page.request["method"]


@pytest.mark.parametrize("match_set", ["union", "lexical"])
@pytest.mark.parametrize("boost", [1.0, 0.25, 7.0])
async def test_parts_add_up_to_the_score(filled, match_set, boost):
    page = await filled.search("sun", QUERY, match_set=match_set, sparse_boost=boost)
    for hit in page.hits:
        assert hit.score == pytest.approx(hit.lexical + hit.sparse, rel=1e-6)
        assert (hit.lexical > 0) == (hit.id in {"both", "lexical", "pending"})
        weights = DOCUMENTS[hit.id][1]
        dot = filled.weights(QUERY).dot(filled.weights(weights)) if weights else 0.0
        assert hit.sparse == pytest.approx(boost * dot, rel=1e-5)


async def test_each_part_is_what_it_is_alone(filled):
    hybrid = {hit.id: hit for hit in (await filled.search("sun", QUERY)).hits}
    for hit in (await filled.search("sun", mode="bm25")).hits:
        assert hit.score == pytest.approx(hybrid[hit.id].lexical, rel=1e-5)
        assert hit.sparse == 0.0
    for hit in (await filled.search(weights=QUERY)).hits:
        assert hit.score == pytest.approx(hybrid[hit.id].sparse, rel=1e-5)
        assert hit.lexical == 0.0


@pytest.mark.parametrize("mode", ["bm25", "sparse", "hybrid"])
async def test_hits_come_by_falling_score(filled, mode):
    scores = [hit.score for hit in (await filled.search("sun moon", QUERY, mode=mode)).hits]
    assert len(scores) > 1
    assert scores == sorted(scores, reverse=True)


async def test_pages_make_up_the_whole_order(bench):
    await bench.fill(*(bench.document(f"{i:02}", "sun", {"sun": 1.0 + (i * 7 % 30)}) for i in range(30)))
    whole = [hit.id for hit in (await bench.search(weights={"sun": 1.0}, size=30)).hits]
    assert len(whole) == 30
    pages = [await bench.search(weights={"sun": 1.0}, size=7, offset=offset) for offset in range(0, 35, 7)]
    assert [hit.id for page in pages for hit in page.hits] == whole
    assert {page.total for page in pages} == {30}


async def test_size_zero_counts_only(filled):
    page = await filled.search("sun", size=0)
    assert (page.hits, page.total) == ((), 3)


async def test_the_same_search_gives_the_same_order(bench):
    await bench.fill(*(bench.document(f"{i}", "sun", {"sun": 1.0}) for i in range(20)))
    first = [hit.id for hit in (await bench.search("sun", {"sun": 1.0}, size=15)).hits]
    assert first == [hit.id for hit in (await bench.search("sun", {"sun": 1.0}, size=15)).hits]


async def test_every_token_is_found_by_its_name(bench):
    await bench.fill(*(bench.document(str(i), "text", {token: 1.0 + i}) for i, token in enumerate(bench.vocabulary)))
    for i, token in enumerate(bench.vocabulary):
        (hit,) = (await bench.search(weights={token: 2.0})).hits
        assert (hit.id, hit.sparse) == (str(i), pytest.approx(2.0 * (1.0 + i), rel=1e-5))


async def test_terms_and_codes_come_back_only_where_asked_for(filled):
    written = filled.document("both", "sun and moon rise", DOCUMENTS["both"][1])
    (bare,) = (await filled.search("rise")).hits
    assert (bare.terms, bare.codes) == (None, None)
    (hit,) = (await filled.search("rise", with_terms=True, with_codes=True)).hits
    assert (hit.terms, hit.codes) == (written.terms, written.codes)
    assert unpack_terms(hit.terms) == filled.weights(DOCUMENTS["both"][1])


async def test_sources_hold_the_users_fields_and_only_those_asked_for(bench):
    await bench.fill(bench.document("1", "sun", {"sun": 1.0}, title="a title", year=1969))
    (hit,) = (await bench.search("sun", {"sun": 1.0})).hits
    assert hit.source == {"text": "sun", "title": "a title", "year": 1969}
    (hit,) = (await bench.search("sun", source_fields=("year", "missing"))).hits
    assert hit.source == {"year": 1969}


async def test_all_fields_are_searched_and_lists_of_strings_too(bench):
    await bench.fill(bench.document("1", "moon", title="sun"), bench.document("2", ["star", "sun"]))
    assert ids(await bench.search("sun")) == {"1", "2"}


async def test_boosts_move_the_order(bench):
    await bench.fill(
        bench.document("title", "nothing", title="sun"),
        bench.document("text", "sun", title="nothing"),
        *(bench.document(f"filler {i}", "other words", title="other words") for i in range(6)),
    )
    for first, boosts in (("title", (5.0, 1.0)), ("text", (1.0, 5.0))):
        fields = (TextField("title", boost=boosts[0]), TextField("text", boost=boosts[1]))
        best, _ = (await bench.search("sun", fields=fields)).hits
        assert best.id == first


@pytest.mark.parametrize("text", ["", "   ", "!?", 'what\'s "this" (AND) *', "OR", "a:b^2~", "\x00"])
async def test_any_text_can_be_searched(filled, text):
    page = await filled.search(text, QUERY)
    assert {"both", "sparse"} <= ids(page)


@pytest.mark.parametrize(
    "clause",
    [
        {"match": {"text": "{{text}}"}},
        {"match": {"text": {"query": "{{text}}", "operator": "and"}}},
        {"multi_match": {"query": "{{text}}", "fields": ["title^2", "text"]}},
    ],
    ids=["match", "match and", "multi_match"],
)
async def test_the_users_own_query_decides_the_lexical_part(filled, clause):
    page = await filled.search("sun", QUERY, match_set="lexical", body={"query": clause})
    assert ids(page) == {"both", "lexical", "pending"}


async def test_operator_and_wants_every_word(filled):
    clause = {"match": {"text": {"query": "{{text}}", "operator": "and"}}}
    assert ids(await filled.search("sun rise", body={"query": clause})) == {"both"}


async def test_a_search_without_terms_or_text_finds_nothing(filled):
    assert (await filled.search(weights={})).total == 0
    assert (await filled.search("", mode="bm25")).total == 0


async def test_terms_nobody_has_find_nothing(filled):
    assert (await filled.search(weights={"日本": 1.0})).total == 0


async def test_document_frequencies_count_living_documents(filled):
    await filled.fill(filled.document("neither", "changed", {"日本": 1.0}))
    features = [(filled.vocabulary.index(token), token) for token in ("sun", "moon", "star", "日本", "a")]
    counts, documents = await filled.engine.document_frequencies(
        filled.index, [(id, escape(token)) for id, token in features]
    )
    assert (counts, documents) == ([2, 1, 2, 1, 0], 5)
    assert await filled.engine.document_frequencies(filled.index, []) == ([], 5)


async def test_a_point_in_time_shows_its_state_or_says_that_it_is_gone(filled):
    first = await filled.search("sun", QUERY, keep_pit=True, size=2)
    assert first.pit
    again = await filled.search("sun", QUERY, pit=first.pit, size=2, offset=2)
    assert again.total == first.total
    assert ids(first).isdisjoint(ids(again))
    await filled.fill(filled.document("new", "sun", {"sun": 9.0}))
    outcome = await asyncio.gather(filled.search("sun", QUERY, pit=first.pit), return_exceptions=True)
    match outcome:
        case [ChercheError() as gone]:
            assert (gone.code, gone.next_step) == (Code.FAILED_PRECONDITION, "search again")
        case [later]:
            assert (later.total, "new" in ids(later)) == (first.total, False)
    await filled.engine.close_pit(first.pit)


async def test_without_keep_pit_none_is_opened(filled):
    assert (await filled.search("sun")).pit == ""


async def test_a_missing_index_cannot_be_searched(engine, index, bench):
    with pytest.raises(ChercheError) as caught:
        await replace(bench, index=f"{index}-missing").search("sun")
    assert caught.value.code == Code.NOT_FOUND
