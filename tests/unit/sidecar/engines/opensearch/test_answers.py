"""Answers of a cluster: what is read, and how what cannot be read is named."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.engines.opensearch.answers import VERSIONED, documents, hits, objects, outcomes, part, reading, sound_hits
from sidecar.errors import ChercheError, Code

VERSION = {"_index": "books", "_seq_no": 1, "_primary_term": 1}
HIT = {"_id": "a", "_score": 1.0, "_source": {"t": 1}, **VERSION}


def answered(*raws: Any) -> Any:
    return {"hits": {"hits": list(raws)}}


@pytest.mark.parametrize(
    ("reply", "oddity"),
    [
        ({}, 'it has no "hits"'),
        ([], "it is a list, not an object"),
        (None, "it is null, not an object"),
        ("gateway timeout", 'it is "gateway timeout", not an object'),
        ({"hits": None}, '"hits" is null, not an object'),
        ({"hits": {"hits": None}}, '"hits.hits" is null, not a list'),
        ({"hits": {"hits": {}}}, '"hits.hits" is an object, not a list'),
    ],
)
def test_an_answer_without_hits_is_named(reply: Any, oddity: str) -> None:
    with pytest.raises(ChercheError) as odd:
        sound_hits(reply, 'index "books"')
    assert odd.value.code is Code.UNAVAILABLE
    assert odd.value.reason == f'index "books": the cluster\'s answer cannot be read: {oddity}'
    assert odd.value.next_step


@pytest.mark.parametrize(
    ("raw", "oddity"),
    [
        (None, "hit 1 is null, not an object"),
        ({**HIT, "_id": None}, "_id of hit 1 is null, not a text"),
        ({"_source": {}}, "hit 1 has no _id"),
        ({**HIT, "_score": float("nan")}, "_score of hit 1 is NaN, not a number"),
        ({**HIT, "_score": "1.0"}, '_score of hit 1 is "1.0", not a number'),
        ({**HIT, "_source": []}, "_source of hit 1 is a list, not an object"),
        ({**HIT, "fields": {"cherche_codes": "AA"}}, "fields of hit 1 is an object, not an object of lists"),
        (
            {**HIT, "matched_queries": {"mine": None}},
            "matched_queries of hit 1 is an object, not names, or numbers by name",
        ),
        ({**HIT, "_seq_no": True}, "_seq_no of hit 1 is true, not a whole number"),
        ({**HIT, "_seq_no": 1 << 63}, "_seq_no of hit 1 is 9223372036854775808, not a whole number"),
    ],
)
def test_an_odd_hit_leaves_its_neighbours(raw: Any, oddity: str) -> None:
    first, last = HIT, {**HIT, "_id": "c"}
    assert sound_hits(answered(first, raw, last), "books") == ([first, last], (oddity,))
    with pytest.raises(ChercheError, match="cannot be read"):
        hits(answered(first, raw, last), "books")


def test_what_a_hit_needs_it_has() -> None:
    assert hits(answered(HIT), "books", VERSIONED) == [HIT]
    with pytest.raises(ChercheError, match="hit 0 has no _seq_no"):
        hits(answered({"_id": "a", "_index": "books"}), "books", VERSIONED)


@pytest.mark.parametrize(
    ("docs", "oddity"),
    [
        ([], "0 documents were answered to 1 ids"),
        ([{"_id": "b", "found": False}], "document 0 is 'b', asked for was 'a'"),
        ([{"_id": "a", "found": True}], "document 0 has no _index"),
        ([{"_id": "a", "found": 1}], "document 0 has no _index"),
        ([{"_id": "a", "found": 0}], "found of document 0 is 0, not true or false"),
    ],
)
def test_nothing_is_taken_for_absent_that_was_not_looked_up(docs: Any, oddity: str) -> None:
    with pytest.raises(ChercheError, match=oddity):
        documents({"docs": docs}, "books", ["a"])


def test_documents_are_in_the_order_of_their_ids() -> None:
    found, absent = {"_id": "a", "found": True, **VERSION}, {"_id": "b", "found": False}
    assert documents({"docs": [found, absent]}, "books", ["a", "b"]) == [found, absent]


@pytest.mark.parametrize("reply", [None, [], "ok", {}, {"items": None}, {"items": {}}])
def test_a_bulk_without_items_says_nothing_of_any(reply: Any) -> None:
    assert outcomes(reply, 2) == [{}, {}]


def test_more_items_than_actions_are_not_read() -> None:
    written = {"index": {"_id": "a", "status": 201}}
    assert outcomes({"items": [written, written]}, 1) == [{"_id": "a", "status": 201}]


def test_every_name_holds_an_object() -> None:
    assert objects({"books": {}}, "books") == {"books": {}}
    with pytest.raises(ChercheError, match='"books" is null, not an object'):
        objects({"books": None}, "books")


def test_a_part_is_of_its_kind() -> None:
    assert part({"a": {"b": 1}}, "books", "a", "b", of=int) == 1
    with pytest.raises(ChercheError, match=r'"a\.b" is true, not a whole number'):
        part({"a": {"b": True}}, "books", "a", "b", of=int)


def test_errors_with_a_kind_pass_and_others_get_one() -> None:
    with pytest.raises(ChercheError, match=r"^mine$"), reading("books"):
        raise ChercheError(Code.NOT_FOUND, "mine")
    reply: Any = {"number": "x"}
    with pytest.raises(ChercheError, match="invalid literal"), reading("books"):
        int(reply["number"])
    with pytest.raises(ZeroDivisionError), reading("books"):  # of the program, not of an answer
        1 / 0  # noqa: B018
