"""Beyond the vectors of tests/contract/membership.json: bodies that no engine would take, and what pages share."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.errors import ChercheError
from sidecar.pipeline.match_set import decide

MATCH = {"match": {"text": "fox"}}


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"match": None},
        {"match": {}},
        {"match": {"text": {}, "title": {}}},
        {"match": MATCH["match"], "term": {}},
        {"bool": None},
        {"bool": {"must": "fox"}},
        {"bool": {"must": [None, 3]}},
        {"multi_match": {"fields": 3}},
        {"dis_max": {"queries": {"a": 1, "b": 2}}},
        [MATCH],
        7,
    ],
)
def test_a_query_that_no_engine_takes_brings_in_no_hits(query: Any) -> None:
    assert decide({"query": query}, ["text"], text="fox").match_set == "lexical"
    assert decide({"query": query}, ["text"]).match_set == "none"


def test_an_unknown_part_of_a_bool_is_a_condition() -> None:
    """Old clusters read `mustNot` as must_not: it would not be put around the sparse clause."""
    found = decide({"query": {"bool": {"must": [MATCH], "mustNot": [{"term": {"a": 1}}]}}}, ["text"])
    assert (found.match_set, found.reason) == ("lexical", "mustNot decides which documents match")


def test_the_text_of_the_embedded_engine_is_a_query() -> None:
    assert decide({"query": "fox"}, ["text"], text="fox").match_set == "union"


@pytest.mark.parametrize("key", ["aggs", "track_total_hits", "highlight", "post_filter"])
def test_what_only_the_first_page_asks_for_changes_nothing(key: str) -> None:
    assert decide({"query": MATCH, key: {}}, ["text"]) == decide({"query": MATCH}, ["text"])


def test_a_sort_that_names_nothing_is_refused() -> None:
    with pytest.raises(ChercheError, match="the search body sorts by"):
        decide({"query": MATCH, "sort": [3]}, ["text"])
