"""Search bodies: two named clauses, everything else untouched."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.engines.opensearch import bookkeeping
from sidecar.engines.opensearch.query import (
    fill_slots,
    first_terms,
    lexical_reserve,
    says_sum,
    search_body,
    sparse_parts_body,
)
from sidecar.errors import ChercheError, Code
from sidecar.values.documents import OWN_FIELDS
from sidecar.values.first_stage import Query, SparseClause
from sidecar.values.index import TextField

CLAUSES = (SparseClause(3, "run", 1.5), SparseClause(9, "%2E", 0.25))
QUERY = Query("run it", "hybrid", (TextField("title", boost=2.0), TextField("text")), clauses=CLAUSES, sparse_boost=0.5)
LEXICAL = {
    "bool": {
        "must": [{"multi_match": {"query": "run it", "fields": ["title^2", "text"], "tie_breaker": 0.5}}],
        "_name": "cherche_lexical",
    }
}
SPARSE = {
    "bool": {
        "should": [
            {"rank_feature": {"field": "cherche_weights.run", "linear": {}, "boost": 0.75}},
            {"rank_feature": {"field": "cherche_weights.%2E", "linear": {}, "boost": 0.125}},
        ],
        "_name": "cherche_sparse",
    }
}
SUMMED = {"bool": {"should": SPARSE["bool"]["should"]}}  # the part of a score that no name says


def stage(query: Query) -> Any:
    return search_body(query, query.clauses)["query"]["bool"]


def test_union_lets_either_clause_decide() -> None:
    assert stage(QUERY) == {"should": [LEXICAL, SUMMED], "minimum_should_match": 1}


def test_lexical_lets_the_sparse_clause_only_add_score() -> None:
    assert stage(replace(QUERY, match_set="lexical")) == {"must": [LEXICAL], "should": [SUMMED]}


@pytest.mark.parametrize("body", [{}, {"query": {"match_all": {}}, "filter": {"term": {"a": 1}}, "aggs": {}}])
@pytest.mark.parametrize("match_set", ["union", "lexical"])
def test_where_a_score_is_the_sum_of_both_clauses_one_is_named(body: dict[str, Any], match_set: Any) -> None:
    query = replace(QUERY, body=body, match_set=match_set)
    assert says_sum(query)
    assert "cherche_sparse" not in str(stage(query))


@pytest.mark.parametrize("key", ["sort", "rescore", "indices_boost", "collapse", "knn", "a key of a later version"])
def test_where_a_score_may_be_anything_else_both_are_named(key: str) -> None:
    query = replace(QUERY, body={key: {}})
    assert not says_sum(query)
    assert stage(query) == {"should": [LEXICAL, SPARSE], "minimum_should_match": 1}


def test_one_mode_has_one_clause() -> None:
    assert stage(replace(QUERY, mode="bm25", clauses=())) == {"must": [LEXICAL]}
    assert stage(replace(QUERY, mode="sparse")) == {"must": [SPARSE]}
    assert stage(replace(QUERY, clauses=())) == {"must": [LEXICAL]}
    assert stage(replace(QUERY, mode="sparse", clauses=())) == {"must": [{"match_none": {}}]}


def test_the_heaviest_terms_find_candidates_and_the_others_add_to_their_scores() -> None:
    body = search_body(replace(QUERY, first_terms=1, candidates=500), CLAUSES)
    heavy, light = SPARSE["bool"]["should"]
    first = {"bool": {"should": [heavy]}}
    assert body["query"]["bool"] == {"should": [LEXICAL, first], "minimum_should_match": 1}
    assert body["rescore"] == {"window_size": 500, "query": {"rescore_query": {"bool": {"should": [light]}}}}


def test_two_phases_are_of_the_weights_whatever_the_order_of_the_clauses() -> None:
    body = search_body(replace(QUERY, first_terms=1), CLAUSES[::-1])
    assert body["query"]["bool"]["should"][1]["bool"]["should"] == SPARSE["bool"]["should"][:1]


@pytest.mark.parametrize("changed", [{"first_terms": 2}, {"first_terms": 1, "match_set": "lexical"}])
def test_one_phase_where_a_second_has_nothing_to_do_or_the_query_alone_decides(changed: dict[str, Any]) -> None:
    query = replace(QUERY, **changed)
    assert search_body(query, CLAUSES) == search_body(replace(query, first_terms=0), CLAUSES)
    assert first_terms(query, CLAUSES) == 0


@pytest.mark.parametrize("given_filter", [{"term": {"a": 1}}, [{"term": {"a": 1}}, {"exists": {"field": "b"}}]])
def test_filters_move_into_the_query(given_filter: Any) -> None:
    body = search_body(replace(QUERY, body={"filter": given_filter}), CLAUSES)
    expected = given_filter if isinstance(given_filter, list) else [given_filter]
    assert body["query"]["bool"]["filter"] == expected
    assert "filter" not in body


def test_the_rest_of_the_body_is_the_users() -> None:
    users = {"aggs": {"a": {}}, "sort": ["_score"], "collapse": {"field": "g"}, "min_score": 2, "timeout": "1s"}
    body = search_body(replace(QUERY, body=users, timeout=9.0, size=7, offset=3), CLAUSES)
    assert {key: body[key] for key in users} == users
    assert (body["size"], body["from"]) == (7, 3)
    assert search_body(replace(QUERY, timeout=0.25), CLAUSES)["timeout"] == "250ms"


def test_mode_sparse_keeps_the_conditions_of_the_users_query() -> None:
    users = {
        "bool": {"must": [{"match": {"text": "a"}}], "filter": {"term": {"a": 1}}, "must_not": [{"term": {"b": 2}}]}
    }
    sparse = replace(QUERY, mode="sparse", body={"query": users})
    assert stage(sparse) == {"must": [SPARSE], "filter": [{"term": {"a": 1}}], "must_not": [{"term": {"b": 2}}]}
    assert stage(replace(sparse, match_set="lexical")) == {"must": [SPARSE], "filter": [users]}


@pytest.mark.parametrize(
    "body", [{"query": {"hybrid": {"queries": []}}}, {"retriever": {}}, {"knn": {}, "query": {"match_all": {}}}]
)
def test_a_filter_that_could_not_bind_is_refused(body: dict[str, Any]) -> None:
    query = replace(QUERY, mode="bm25", match_set="none", clauses=(), body={**body, "filter": {"term": {"a": 1}}})
    with pytest.raises(ChercheError, match="a filter cannot be put around"):
        search_body(query, ())


@pytest.mark.parametrize("key", ["size", "from", "pit", "include_named_queries_score"])
def test_what_belongs_to_the_request_is_refused(key: str) -> None:
    with pytest.raises(ChercheError, match=key) as refused:
        search_body(replace(QUERY, body={key: 1}), CLAUSES)
    assert refused.value.code == Code.INVALID_ARGUMENT


def test_hash_and_state_are_asked_for_where_they_are_read() -> None:
    read, heavy = list(bookkeeping.FIELDS), [name for name in OWN_FIELDS if name not in bookkeeping.FIELDS]
    body = search_body(replace(QUERY, with_state=True), CLAUSES)
    assert (body["_source"], body["docvalue_fields"]) == ({"excludes": heavy}, ["cherche_terms"])
    some = search_body(replace(QUERY, with_state=True, with_codes=True, source_fields=("a",)), CLAUSES)
    assert (some["_source"], some["docvalue_fields"]) == (
        {"includes": ["a", *read], "excludes": heavy},
        ["cherche_codes"],
    )


@pytest.mark.parametrize(
    ("given_source", "fields", "expected"),
    [
        (None, (), {"excludes": list(OWN_FIELDS)}),
        (True, (), {"excludes": list(OWN_FIELDS)}),
        (False, (), False),
        (False, ("a",), {"includes": ["a"], "excludes": list(OWN_FIELDS)}),
        ("a", (), {"includes": ["a"], "excludes": list(OWN_FIELDS)}),
        (["a", "cherche_digest"], (), {"includes": ["a"], "excludes": list(OWN_FIELDS)}),
        ({"excludes": ["b"]}, (), {"excludes": ["b", *OWN_FIELDS]}),
        ({"includes": "a", "excludes": "b"}, ("c",), {"includes": ["c"], "excludes": ["b", *OWN_FIELDS]}),
        (None, ("cherche_status",), False),
    ],
)
def test_own_fields_are_never_asked_for(given_source: Any, fields: tuple[str, ...], expected: Any) -> None:
    body = {} if given_source is None else {"_source": given_source}
    assert search_body(replace(QUERY, body=body, source_fields=fields), CLAUSES)["_source"] == expected


@pytest.mark.parametrize(
    ("given_source", "fields", "with_state", "expected"),
    [
        (None, (), True, True),
        (True, (), False, True),
        ({"includes": []}, (), True, True),
        (False, (), False, False),
        ("a", (), False, {"includes": ["a"], "excludes": list(OWN_FIELDS)}),
        (None, ("a",), False, {"includes": ["a"], "excludes": list(OWN_FIELDS)}),
        ({"excludes": ["b"]}, (), False, {"excludes": ["b", *OWN_FIELDS]}),
        (None, ("cherche_status",), False, False),
    ],
)
def test_lean_sources_are_not_filtered_but_as_the_user_asks(
    given_source: Any, fields: tuple[str, ...], with_state: bool, expected: Any
) -> None:
    body = {} if given_source is None else {"_source": given_source}
    asked = replace(QUERY, body=body, source_fields=fields, with_state=with_state)
    assert search_body(asked, CLAUSES, lean=True)["_source"] == expected


def test_doc_values_are_asked_for_on_request() -> None:
    assert "docvalue_fields" not in search_body(QUERY, CLAUSES)
    asked = replace(QUERY, with_codes=True, with_terms=True, body={"docvalue_fields": ["year"]})
    assert search_body(asked, CLAUSES)["docvalue_fields"] == ["year", "cherche_terms", "cherche_codes"]


def test_a_second_search_for_the_sparse_parts_boosts_as_the_first_did() -> None:
    boosts = [{"books": 3}]
    assert sparse_parts_body(replace(QUERY, body={"indices_boost": boosts}), CLAUSES, ["a"])["indices_boost"] == boosts
    assert "indices_boost" not in sparse_parts_body(QUERY, CLAUSES, ["a"])


def test_slots_are_filled_where_they_stand() -> None:
    users = {"query": {"bool": {"must": [{"match": {"a": "{{text}}"}}, {"prefix": {"b": "x-{{text}}"}}], "boost": 2}}}
    text = 'say "hi" \\ {{text}}'
    [lexical] = stage(replace(QUERY, text=text, mode="bm25", body=users))["must"]
    [query] = lexical["bool"]["must"]
    assert query == {
        "bool": {"must": [{"match": {"a": text}}, {"prefix": {"b": f"x-{text}"}}], "boost": 2},
    }
    assert users["query"]["bool"]["must"][0] == {"match": {"a": "{{text}}"}}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values)
def test_a_body_without_slots_is_untouched(value: Any) -> None:
    assert fill_slots(value, "{{text}}") == value


def test_room_is_left_for_the_lexical_part() -> None:
    assert lexical_reserve(replace(QUERY, mode="sparse")) == 0
    assert lexical_reserve(QUERY) == 16 + 2 * 2 * 2
    assert lexical_reserve(replace(QUERY, body={"query": {}})) == 128
