"""The searches that fusion by ranks consists of."""

from __future__ import annotations

from dataclasses import replace

from sidecar.engines.opensearch import ranks
from sidecar.engines.opensearch.query import search_body
from sidecar.values.first_stage import EngineHit, EnginePage, Query, SparseClause
from sidecar.values.index import TextField

BODY = {
    "filter": {"term": {"year": 2020}},
    "aggs": {"years": {"terms": {"field": "year"}}},
    "highlight": {"fields": {"text": {}}},
    "post_filter": {"term": {"kind": "a"}},
    "track_total_hits": True,
}
QUERY = Query(
    "sun",
    "hybrid",
    (TextField("text"),),
    clauses=(SparseClause(1, "a", 1.0),),
    body=BODY,
    fusion="rrf",
    fusion_window=7,
    size=3,
    offset=1,
    with_codes=True,
    timeout=5.0,
)


def sent(query: Query) -> dict[str, object]:
    return search_body(query, query.clauses)


def test_rankings_fetch_ids_and_count_nothing() -> None:
    for query in ranks.rankings(QUERY):
        body = sent(query)
        assert (body["size"], body["from"], body["_source"], body["track_total_hits"]) == (7, 0, False, False)
        assert body["post_filter"] == BODY["post_filter"]
        assert not {"aggs", "highlight", "docvalue_fields"} & set(body)
        assert BODY["filter"] in body["query"]["bool"]["filter"]
        assert not query.by_ranks


def test_a_users_clause_that_decides_restricts_the_sparse_ranking() -> None:
    _, sparse = ranks.rankings(replace(QUERY, match_set="lexical"))
    assert [set(clause) for clause in sparse.body["filter"]] == [{"term"}, {"multi_match"}]
    _, sparse = ranks.rankings(QUERY)
    assert sparse.body["filter"] == BODY["filter"]


def test_conditions_of_the_users_query_bind_the_sparse_ranking() -> None:
    users = {"bool": {"must": [{"match": {"text": "a"}}], "filter": [{"term": {"tenant": 1}}]}}
    _, sparse = ranks.rankings(replace(QUERY, body={"query": users}))
    assert sent(sparse)["query"]["bool"]["filter"] == [{"term": {"tenant": 1}}]
    _, sparse = ranks.rankings(replace(QUERY, body={"query": users}, match_set="lexical"))
    assert sent(sparse)["query"]["bool"]["filter"] == [users]


def test_counting_fetches_no_hit() -> None:
    body = sent(ranks.counting(QUERY))
    assert (body["size"], body["aggs"], body["track_total_hits"]) == (0, BODY["aggs"], True)
    assert "highlight" not in body


def test_fetching_names_the_index_of_each_id() -> None:
    body = sent(ranks.fetching(QUERY, [("a", "1", ""), ("b", "1", ""), ("a", "2", ""), ("a", "1", "r")]))
    wanted = body["query"]["bool"]["filter"][1]["bool"]["should"]
    assert [clause["bool"]["filter"] for clause in wanted] == [
        [{"ids": {"values": ["1", "2"]}}, {"term": {"_index": "a"}}],
        [{"ids": {"values": ["1"]}}, {"term": {"_index": "b"}}],
        [{"ids": {"values": ["1"]}}, {"term": {"_index": "a"}}, {"term": {"_routing": "r"}}],
    ]
    unrouted = [{"exists": {"field": "_routing"}}]
    assert [clause["bool"].get("must_not") for clause in wanted] == [unrouted, unrouted, None]
    assert (body["size"], body["from"], body["highlight"]) == (4, 0, BODY["highlight"])
    assert "aggs" not in body


def test_equal_scores_are_in_the_order_of_ids() -> None:
    lists = [[EngineHit("b", 9.0, index="i"), EngineHit("c", 8.0, index="i")], [EngineHit("a", 1.0, index="i")]]
    assert list(ranks.order(lists, 60)) == [("i", "a", ""), ("i", "b", ""), ("i", "c", "")]


async def test_documents_that_share_an_id_are_ranked_each_for_itself() -> None:
    twins = tuple(EngineHit("a", score, extra={"_routing": r}, index="i") for r, score in (("r1", 2.0), ("r2", 1.0)))

    async def run(query: Query) -> EnginePage:
        return EnginePage(twins if query.size else (), 2)

    page = await ranks.search(replace(QUERY, offset=0), run)
    assert [(hit.extra["_routing"], hit.lexical_rank, hit.sparse_rank) for hit in page.hits] == [
        ("r1", 1, 1),
        ("r2", 2, 2),
    ]


async def test_what_any_of_the_searches_says_is_said() -> None:
    asked: list[Query] = []

    async def run(query: Query) -> EnginePage:
        asked.append(query)
        number = len(asked)
        hits = tuple(EngineHit(id, 1.0, index="i") for id in "abc") if number != 3 else ()
        kept = hits[1:] if number == 4 else hits
        return EnginePage(kept, 9, warnings=("same", str(number)), request={"n": number}, partial=number == 2)

    page = await ranks.search(replace(QUERY, offset=0), run)
    assert [hit.id for hit in page.hits] == ["b", "c"]  # "a" was deleted before the page was fetched
    assert (page.total, page.partial, page.warnings) == (9, True, ("same", "1", "2", "3", "4"))
    assert page.request == {"n": 4, "ranked_by": [{"n": 1}, {"n": 2}]}
    assert asked[3].timeout <= 5.0


async def test_a_page_below_the_order_fetches_nothing() -> None:
    asked: list[Query] = []

    async def run(query: Query) -> EnginePage:
        asked.append(query)
        return EnginePage((EngineHit("a", 1.0),), 1)

    page = await ranks.search(replace(QUERY, offset=5), run)
    assert (page.hits, page.total, len(asked)) == ((), 1, 3)
