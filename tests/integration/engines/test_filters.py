"""The subset of Query DSL filters that both engines read alike."""

from __future__ import annotations

import pytest

DOCUMENTS = {
    "a": {"year": 1999, "price": 1.5, "open": True, "tag": "red", "tags": ["x", "y"], "at": "2020-01-31"},
    "b": {"year": 2005, "price": 2.0, "open": False, "tag": "Red", "tags": ["y"], "at": "2021-06-15"},
    "c": {"year": 2020, "price": 9.75, "tag": "blue green", "tags": [], "maker": {"name": "acme"}},
    "d": {"year": None},
}
CASES = {
    "term number": ({"term": {"year": 2005}}, "b"),
    "term value": ({"term": {"year": {"value": 2005}}}, "b"),
    "term float": ({"term": {"price": 2}}, "b"),
    "term boolean": ({"term": {"open": False}}, "b"),
    "term keyword": ({"term": {"tag.keyword": "red"}}, "a"),
    "term keyword with space": ({"term": {"tag.keyword": "blue green"}}, "c"),
    "term in a list": ({"term": {"tags.keyword": "x"}}, "a"),
    "term in an object": ({"term": {"maker.name.keyword": "acme"}}, "c"),
    "terms": ({"terms": {"year": [1999, 2020, 3000]}}, "ac"),
    "terms none": ({"terms": {"year": []}}, ""),
    "range": ({"range": {"year": {"gte": 2005, "lt": 2020}}}, "b"),
    "range open": ({"range": {"year": {"gt": 2005}}}, "c"),
    "range upper": ({"range": {"price": {"lte": 2.0}}}, "ab"),
    "range dates": ({"range": {"at": {"gte": "2021-01-01"}}}, "b"),
    "exists": ({"exists": {"field": "year"}}, "abc"),
    "exists empty list": ({"exists": {"field": "tags"}}, "ab"),
    "exists object": ({"exists": {"field": "maker.name"}}, "c"),
    "exists unknown": ({"exists": {"field": "unknown"}}, ""),
    "ids": ({"ids": {"values": ["a", "d", "z"]}}, "ad"),
    "match_all": ({"match_all": {}}, "abcd"),
    "list": ([{"term": {"open": True}}, {"range": {"year": {"lt": 2000}}}], "a"),
    "bool must_not": ({"bool": {"must_not": [{"term": {"year": 1999}}]}}, "bcd"),
    "bool should": ({"bool": {"should": [{"term": {"year": 1999}}, {"term": {"year": 2005}}]}}, "ab"),
    "bool should, none needed": (
        {"bool": {"should": [{"term": {"year": 1999}}, {"term": {"year": 2005}}], "minimum_should_match": 0}},
        "ab",
    ),
    "bool should beside must_not, none needed": (
        {"bool": {"should": {"term": {"year": 1999}}, "must_not": {"term": {"year": 2020}}, "minimum_should_match": 0}},
        "a",
    ),
    "bool must and should": (
        {"bool": {"must": {"exists": {"field": "year"}}, "should": [{"term": {"year": 1999}}]}},
        "abc",
    ),
    "bool minimum": (
        {
            "bool": {
                "filter": [{"exists": {"field": "year"}}],
                "should": [{"term": {"year": 1999}}, {"range": {"price": {"lt": 3}}}],
                "minimum_should_match": 2,
            }
        },
        "a",
    ),
    "bool empty": ({"bool": {}}, "abcd"),
    "nested bool": ({"bool": {"filter": {"bool": {"must_not": {"term": {"open": True}}}}}}, "bcd"),
}


@pytest.fixture
async def filled(bench):
    await bench.fill(*(bench.document(id, "sun", {"sun": 1.0}, **source) for id, source in DOCUMENTS.items()))
    return bench


async def test_filters(filled):
    wrong = {}
    for name, (clause, expected) in CASES.items():
        page = await filled.search("sun", {"sun": 1.0}, body={"filter": clause})
        found = "".join(sorted(hit.id for hit in page.hits))
        if (found, page.total) != (expected, len(expected)):
            wrong[name] = found
    assert wrong == {}


@pytest.mark.parametrize("mode", ["bm25", "sparse", "hybrid"])
@pytest.mark.parametrize("match_set", ["lexical", "union"])
async def test_filters_apply_to_both_parts_and_leave_scores_alone(filled, mode, match_set):
    options = {"mode": mode, "match_set": match_set}
    free = {hit.id: hit.score for hit in (await filled.search("sun", {"sun": 1.0}, **options)).hits}
    body = {"filter": {"range": {"year": {"gte": 2000}}}}
    kept = {hit.id: hit.score for hit in (await filled.search("sun", {"sun": 1.0}, body=body, **options)).hits}
    assert kept == {id: free[id] for id in "bc"}


async def test_filters_see_what_changed(filled):
    body = {"filter": {"term": {"year": 2005}}}
    assert (await filled.search("sun", body=body)).total == 1
    await filled.fill(filled.document("a", "sun", {"sun": 1.0}, year=2005))
    assert (await filled.search("sun", body=body)).total == 2
