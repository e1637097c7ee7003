import pytest

from sidecar.errors import ChercheError
from sidecar.pipeline.membership import check_body, is_sorted


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
        check_body({"query": {"match_all": {}}, key: 1})
    assert caught.value.next_step


def test_everything_else_of_a_body_passes() -> None:
    check_body({"query": {"match_all": {}}, "aggs": {}, "sort": [], "highlight": {}, "fields": ["*"]})


@pytest.mark.parametrize("query", [None, {}, [], ""])
def test_a_query_that_says_nothing_is_refused_whatever_engine_searches(query: object) -> None:
    with pytest.raises(ChercheError, match="the query of the search body is empty") as caught:
        check_body({"query": query})
    assert caught.value.next_step
