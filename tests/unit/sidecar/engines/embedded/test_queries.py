from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from cherche_models.lexical import TIE_BREAKER
from sidecar.engines.embedded.lexical import MAX_WORDS
from sidecar.engines.embedded.queries import combine, compile_query
from sidecar.errors import ChercheError, Code
from sidecar.values.first_stage import Query, SparseClause
from sidecar.values.index import TextField

FIELDS = ("title", "text")


def query(text="sun", **options):
    return Query(text, **{"mode": "hybrid", "fields": (), **options})


@pytest.mark.parametrize("key", ["aggs", "aggregations", "sort", "collapse", "highlight", "min_score", "post_filter"])
def test_what_needs_a_cluster_is_refused_by_name(key):
    with pytest.raises(ChercheError, match=f"'{key}' needs a cluster") as caught:
        compile_query(query(body={key: {}}), FIELDS)
    assert caught.value.code == Code.INVALID_ARGUMENT


@pytest.mark.parametrize("clause", [{}, "", 0, False])
def test_a_filter_that_says_nothing_is_refused_and_not_left_out(clause):
    with pytest.raises(ChercheError, match="a filter clause is an object with one key"):
        compile_query(query(body={"filter": clause}), FIELDS)


@pytest.mark.parametrize(
    ("clause", "reason"),
    [
        ({"query_string": {"query": "a"}}, "'query_string' needs a cluster"),
        ({"bool": {"must": []}}, "'bool' needs a cluster"),
        ({"match": {"title": {"query": "a", "fuzziness": 1}}}, "match with fuzziness needs a cluster"),
        ({"multi_match": {"query": "a", "type": "phrase"}}, "multi_match with type needs a cluster"),
        ({"match": {"title": 3}}, "no query text"),
        ({"match": {"title": {}}}, "no query text"),
        ({"match": {"title": "a", "text": "b"}}, "'match' needs a cluster"),
        ({"multi_match": []}, "no query text"),
        ({"multi_match": {"query": "a", "fields": "title"}}, "takes a list of names"),
        ({"multi_match": {"query": "a", "fields": ["title^much"]}}, "boost 'much' of field 'title'"),
        ({"multi_match": {"query": "a", "fields": ["title^-1"]}}, "boost -1.0 of field 'title'"),
        ({"multi_match": {"query": "a", "fields": ["title^nan"]}}, "boost nan of field 'title'"),
        ({"match": {"title": {"query": "a", "operator": "xor"}}}, "operator 'xor' is unknown"),
        ({"multi_match": {"query": "a", "tie_breaker": 2}}, "tie_breaker 2 is not a number from 0 to 1"),
        ({"multi_match": {"query": "a", "tie_breaker": "all"}}, "tie_breaker 'all' is not a number"),
        ({"match": {"body": "a"}}, "field 'body' is not searched, only title, text"),
        ([], "'list' needs a cluster"),
    ],
)
def test_queries_beyond_the_subset_are_refused(clause, reason):
    for mode, match_set in product(("bm25", "sparse", "hybrid"), ("lexical", "union")):
        with pytest.raises(ChercheError, match=reason) as caught:
            compile_query(query(body={"query": clause}, mode=mode, match_set=match_set), FIELDS)
        assert caught.value.code == Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("clause", "words", "boosts", "all_words"),
    [
        (None, ("sun", "moon"), {"title": 1.0, "text": 1.0}, False),
        ("x {{text}}", ("x", "sun", "moon"), {"title": 1.0, "text": 1.0}, False),
        ({"match": {"title": "{{text}}"}}, ("sun", "moon"), {"title": 1.0}, False),
        ({"match": {"text": {"query": "star", "operator": "AND"}}}, ("star",), {"text": 1.0}, True),
        ({"multi_match": {"query": "{{text}}"}}, ("sun", "moon"), {"title": 1.0, "text": 1.0}, False),
        ({"multi_match": {"query": "b", "fields": []}}, ("b",), {"title": 1.0, "text": 1.0}, False),
        ({"multi_match": {"query": "b", "fields": ["title^2.5", "text"]}}, ("b",), {"title": 2.5, "text": 1.0}, False),
    ],
)
def test_queries_of_the_subset(clause, words, boosts, all_words):
    body = {} if clause is None else {"query": clause}
    lexical = compile_query(query("sun moon", body=body), FIELDS).lexical
    assert (lexical.words, dict(lexical.boosts), lexical.all_words) == (words, boosts, all_words)


@pytest.mark.parametrize(
    ("clause", "tie_breaker"),
    [
        (None, TIE_BREAKER),
        ({"multi_match": {"query": "a"}}, 0.0),
        ({"multi_match": {"query": "a", "tie_breaker": 0.3}}, 0.3),
    ],
)
def test_the_tie_breaker_is_the_clusters(clause, tie_breaker):
    lexical = compile_query(query(body={} if clause is None else {"query": clause}), FIELDS).lexical
    assert lexical.tie_breaker == tie_breaker


def test_the_searched_fields_and_boosts_are_the_querys():
    lexical = compile_query(query(fields=(TextField("text", boost=3.0),)), FIELDS).lexical
    assert dict(lexical.boosts) == {"text": 3.0}


def test_each_mode_asks_for_its_parts():
    clauses = (SparseClause(1, "a", 1.0),)
    plans = {mode: compile_query(query(mode=mode, clauses=clauses), FIELDS) for mode in ("bm25", "sparse", "hybrid")}
    assert {mode: plan.lexical is not None for mode, plan in plans.items()} == {
        "bm25": True,
        "sparse": False,
        "hybrid": True,
    }
    assert {mode: plan.term_ids.tolist() for mode, plan in plans.items()} == {"bm25": [], "sparse": [1], "hybrid": [1]}


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused(weight):
    with pytest.raises(ChercheError, match="query term 'a' has weight"):
        compile_query(query(clauses=(SparseClause(1, "a", weight),)), FIELDS)


def test_a_very_long_query_is_cut_and_says_so():
    plan = compile_query(query("word " * 5000), FIELDS)
    assert len(plan.lexical.words) == MAX_WORDS
    assert plan.warnings == (f"only the first {MAX_WORDS} words of the query were searched",)


@pytest.mark.parametrize(
    ("mode", "match_set", "allowed", "members"),
    [
        ("bm25", "union", None, [0, 1]),
        ("sparse", "union", None, [1, 2]),
        ("hybrid", "union", None, [0, 1, 2]),
        ("hybrid", "lexical", None, [0, 1]),
        ("hybrid", "union", [True, False, True, True], [0, 2]),
    ],
)
def test_membership(mode, match_set, allowed, members):
    matched = np.array([mode != "sparse", mode != "sparse", False, False])
    lexical = np.array([1.0, 2.0, 0.0, 0.0]) * matched, matched
    products = np.array([0.0, 0.5, 3.0, 0.0])
    mask = None if allowed is None else np.array(allowed)
    parts = combine(query(mode=mode, match_set=match_set, sparse_boost=2.0), lexical, products, mask)
    assert parts.members.tolist() == members
    assert parts.scores.tolist() == (lexical[0] + 2.0 * products).tolist()
