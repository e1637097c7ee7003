"""Filters as predicates; the engines' common suite compares both engines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.engines.embedded.filters import compile_filter, values
from sidecar.errors import ChercheError, Code

SOURCE = {
    "year": 2000,
    "flag": True,
    "one": 1,
    "tags": ["a", ["b"], None],
    "deep": [{"x": [1, {"y": 2}]}, {"x": 3}],
    "dotted.name": "v",
    "text": "now",
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("year", [2000]),
        ("tags", ["a", "b"]),
        ("deep.x.y", [2]),
        ("dotted.name", ["v"]),
        ("text.keyword", ["now"]),
        ("missing", []),
        ("year.month", []),
    ],
)
def test_values(path, expected):
    assert list(values(SOURCE, path)) == expected


@pytest.mark.parametrize(
    ("clause", "holds"),
    [
        ({"term": {"flag": True}}, True),
        ({"term": {"flag": 1}}, False),
        ({"term": {"one": True}}, False),
        ({"term": {"year": "2000"}}, False),
        ({"range": {"year": {"gt": "1"}}}, False),
        ({"range": {"flag": {"gte": 0}}}, False),
        ({"range": {"text": {"gte": "a", "lt": "z"}}}, True),
        ({"range": {"year": {"gte": None, "lt": 2001}}}, True),
        ({"ids": {"values": ["1"]}}, True),
        ({"ids": {"values": [1]}}, True),
        ([], True),
        ([{"match_all": {}}, {"exists": {"field": "nope"}}], False),
        ({"bool": {"should": [], "minimum_should_match": 0}}, True),
        ({"bool": {"should": [{"exists": {"field": "nope"}}], "minimum_should_match": 0}}, False),
        ({"bool": {"should": [{"exists": {"field": "nope"}}], "must_not": [], "minimum_should_match": 0}}, False),
        ({"bool": {"should": [{"exists": {"field": "nope"}}], "filter": [], "minimum_should_match": 0}}, False),
        ({"bool": {"should": [{"exists": {"field": "nope"}}], "must": {"match_all": {}}}}, True),
        ({"bool": {"should": [{"exists": {"field": "nope"}}]}}, False),
        ({"bool": {"should": [{"exists": {"field": "nope"}}], "must_not": []}}, False),
    ],
)
def test_predicates(clause, holds):
    assert compile_filter(clause)("1", SOURCE) is holds


@pytest.mark.parametrize(
    "clause",
    [
        {"match": {"text": "x"}},
        {"geo_distance": {}},
        {"term": {"a": 1, "b": 2}},
        {"term": {}},
        {"term": {"a": None}},
        {"term": {"a": [1]}},
        {"term": {"a": {"value": 1, "case_insensitive": True}}},
        {"terms": {"a": "x"}},
        {"terms": {"a": {"index": "other"}}},
        {"range": {"a": 3}},
        {"range": {"a": {"gte": "now-1d"}}},
        {"range": {"a": {"gte": "2020-01-01||/M"}}},
        {"range": {"a": {"gte": 1, "time_zone": "+01:00"}}},
        {"range": {"a": {"gte": True}}},
        {"bool": {"must": [{"prefix": {"a": "b"}}]}},
        {"bool": {"should": [], "minimum_should_match": "75%"}},
        {"exists": {"field": "a", "boost": 2}},
        {"term": {"a": 1}, "range": {"b": {}}},
        {},
        "year > 2000",
        {"term": 3},
        {"ids": {"values": "1"}},
    ],
)
def test_what_is_beyond_is_refused_naming_what_is_not(clause):
    with pytest.raises(ChercheError, match="match_all, ids, exists, term, terms, range and bool") as caught:
        compile_filter(clause)
    assert caught.value.code == Code.INVALID_ARGUMENT


json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_leaves=8,
)
sources = st.dictionaries(st.sampled_from("abc"), json, max_size=3)
leaves = st.sampled_from(
    [
        {"term": {"a": 1}},
        {"terms": {"a.b": ["", 2]}},
        {"range": {"b": {"gt": 0}}},
        {"range": {"c.a": {"lte": "b"}}},
        {"exists": {"field": "a.b"}},
    ]
)


@given(leaves, sources)
def test_not_is_the_opposite(clause, source):
    holds = compile_filter(clause)("1", source)
    assert compile_filter({"bool": {"must_not": clause}})("1", source) is not holds
    assert compile_filter({"bool": {"filter": clause}})("1", source) is holds
    assert compile_filter({"bool": {"should": [clause]}})("1", source) is holds
