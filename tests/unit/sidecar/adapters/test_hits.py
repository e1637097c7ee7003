from __future__ import annotations

import logging

import pytest

from sidecar.adapters.hits import Scored, found, merged, scored, with_error
from sidecar.errors import ChercheError
from sidecar.values.search import RerankOutcome, RerankStatus
from tests.unit.sidecar.adapters.memory import MemoryClient


def test_text_is_made_of_the_named_fields_and_the_rest_is_metadata(client: MemoryClient) -> None:
    first, second, third = found(client.search("i", "q"))
    assert (first.id, first.text, first.metadata, first.score) == ("0", "Cars\na red car", {"year": 1999}, 9.0)
    assert (second.text, second.metadata) == ("a car\non the road", {"tags": ["x"]})
    assert (third.text, third.metadata) == ("", {"year": 2001})  # its neighbours have text: it is one without


def test_a_page_without_any_text_says_which_fields_there_are(client: MemoryClient) -> None:
    with pytest.raises(ChercheError) as caught:
        list(found(client.search("i", "q"), ["body"]))
    assert "no hit has a field body" in caught.value.reason
    assert "tags, text, title, year" in caught.value.reason
    assert "content_fields" in caught.value.next_step
    assert list(found(MemoryClient(()).search("i", "q"), ["body"])) == []


def test_what_a_search_went_without_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    outcome = RerankOutcome(RerankStatus.UNAVAILABLE, "no reranker is served")
    with caplog.at_level(logging.WARNING, "sidecar.adapters"):
        list(found(MemoryClient(rerank_outcome=outcome).search("i", "q")))
        list(found(MemoryClient(rerank_outcome=RerankOutcome(RerankStatus.APPLIED)).search("i", "q")))
    assert caplog.messages == ["UNAVAILABLE: no reranker is served"]


def test_what_cannot_be_scored_comes_last_with_the_reason(client: MemoryClient) -> None:
    order = scored(client, "red car", ["", "a car", "a red car", " "], model="m")
    assert [(one.place, one.score) for one in order] == [(2, 2.0), (1, 1.0), (0, None), (3, None)]
    assert "is empty" in order[2].error
    assert client.asked == [{"query": "red car", "texts": ["", "a car", "a red car", " "], "model": "m"}]
    assert with_error({"a": 1}, order[2]) == {"a": 1, "rerank_error": order[2].error}
    assert with_error({"a": 1}, order[0]) == {"a": 1}


def test_the_first_are_as_many_as_asked_for_and_never_all_but_the_last(client: MemoryClient) -> None:
    texts = ["a red car", "a car", ""]
    assert [[one.place for one in scored(client, "red car", texts, most)] for most in (0, 2, 9, None)] == [
        [],
        [0, 1],
        [0, 1, 2],
        [0, 1, 2],
    ]
    with pytest.raises(ChercheError, match="-1 of the texts are asked for"):
        scored(client, "red car", texts, -1)


def test_no_texts_are_no_call(client: MemoryClient) -> None:
    assert scored(client, "red car", []) == []
    assert client.asked == []


def test_later_options_win() -> None:
    assert merged({"size": 10}, {"rerank": True, "size": 3}, None, {"rerank": False}) == {"size": 3, "rerank": False}
    assert Scored(0, 1.0).error == ""
