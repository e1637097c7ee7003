import pytest

from sidecar.errors import ChercheError
from sidecar.pipeline.membership import check_body, is_sorted, match_set_of


@pytest.mark.parametrize(
    "body",
    [
        {"aggs": {"a": {}}},
        {"aggregations": {}},
        {"sort": ["year"]},
        {"collapse": {"field": "group"}},
        {"track_total_hits": True},
        {"query": {"match": {"text": {"query": "a b", "minimum_should_match": 2}}}},
        {"query": {"bool": {"must": [{"bool": {"should": [], "minimum_should_match": 1}}]}}},
    ],
)
def test_the_users_clause_decides_where_counts_depend_on_it(body: dict[str, object]) -> None:
    assert match_set_of("auto", body) == "lexical"
    assert match_set_of("union", body) == "union"


@pytest.mark.parametrize("body", [{}, {"track_total_hits": 100}, {"query": {"match": {"text": "a"}}}, {"filter": []}])
def test_either_clause_decides_otherwise(body: dict[str, object]) -> None:
    assert match_set_of("auto", body) == "union"
    assert match_set_of("lexical", body) == "lexical"


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (None, False),
        ([], False),
        ("_score", False),
        ({"_score": "desc"}, False),
        ([{"_score": {"order": "desc"}}, "year"], False),
        ([{"_score": "asc"}], True),
        ([{"_score": {"order": "asc"}}], True),
        ("year", True),
        (["year", "_score"], True),
        ([{"year": {"order": "desc"}}], True),
    ],
)
def test_which_order_is_asked_for(sort: object, expected: bool) -> None:
    assert is_sorted({"sort": sort} if sort is not None else {}) is expected


@pytest.mark.parametrize("sort", [[{}], [3], {"a": 1, "b": 2}, [["year"]]])
def test_a_sort_that_names_nothing_is_refused(sort: object) -> None:
    with pytest.raises(ChercheError, match="the search body sorts by"):
        is_sorted({"sort": sort})


@pytest.mark.parametrize(
    "key", ["size", "from", "pit", "_source", "docvalue_fields", "explain", "search_after", "rescore"]
)
def test_what_the_service_decides_is_refused_with_what_to_use(key: str) -> None:
    with pytest.raises(ChercheError, match=f"the search body sets '{key}'") as caught:
        check_body({"query": {}, key: 1})
    assert caught.value.next_step


def test_everything_else_of_a_body_passes() -> None:
    check_body({"query": {}, "aggs": {}, "sort": [], "highlight": {}, "fields": ["*"]})
