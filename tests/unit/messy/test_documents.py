"""The generator of messy documents: equal for equal seeds, and holding what it is there for."""

from __future__ import annotations

import unicodedata
from collections import Counter
from decimal import Decimal

import pytest

from tests.messy.documents import LONGEST_ID, SCRIPTS, WORDS, Document, changed, documents, dumps, loads, mark

LIMIT = 1 << 20  # bytes, of a document that the sidecar takes


@pytest.fixture(scope="module")
def made() -> list[Document]:
    return documents(2000)


def written(some: list[Document]) -> list[str]:
    return [f"{one.key} {dumps(one.source)}" for one in some]


def test_equal_seeds_give_equal_documents_and_others_do_not(made: list[Document]) -> None:
    assert written(documents(200)) == written(made[:200]), "a longer list begins with a shorter one"
    assert written(documents(200, seed=13)) != written(made[:200])


def test_a_change_of_a_document_is_the_same_each_time(made: list[Document]) -> None:
    assert list(changed(made[7], 3)) == list(changed(made[7], 3))
    assert list(changed(made[7], 3)) != list(changed(made[7], 4))


def test_ids_are_odd_long_and_shared_by_two_routings(made: list[Document]) -> None:
    ids = [one.id for one in made]
    for character in '/?#",* \t\n':
        assert any(character in id for id in ids), character
    assert max(map(len, ids)) == 480
    assert LONGEST_ID - 4 < max(len(id.encode()) for id in ids) <= LONGEST_ID
    assert len({one.key for one in made}) == len(made)
    shared = [id for id, count in Counter(ids).items() if count == 2]
    assert len(shared) == 2000 // 97
    assert 0.3 < sum(bool(one.routing) for one in made) / len(made) < 0.5


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_has_words_of_its_own_and_documents(script: str, made: list[Document]) -> None:
    names = {unicodedata.name(c).split()[0] for word in WORDS[script] for c in word if c.isalpha()}
    wanted = {"han": {"CJK", "HIRAGANA", "KATAKANA"}}.get(script, {script.upper()})
    assert names == wanted
    assert sum(one.source["script"] == script for one in made) > 50


def test_texts_have_every_form(made: list[Document]) -> None:
    texts = [one.source.get("text", "absent") for one in made]
    assert {type(text) for text in texts} == {str, list}
    assert {type(one.source.get("title")) for one in made} == {str, list, int, bool, Decimal, type(None)}
    assert any("<script>" in text for text in texts)
    assert sum(str(text).strip() in ("", "absent", "[None]") for text in texts) == 2000 // 11
    assert sum(len(str(text)) > 5000 for text in texts) >= 18
    large = [one for one in made if one.is_too_large]
    assert [one.number for one in large] == [500, 1500]
    assert all((len(dumps(one.source).encode()) > LIMIT) is one.is_too_large for one in made)


def test_a_mark_is_of_one_document_alone(made: list[Document]) -> None:
    assert [one.number for one in made if mark(7) in str(one.source)] == [7]


def test_fields_hold_nulls_lists_and_numbers_that_a_float_would_round(made: list[Document]) -> None:
    assert any(one.source.get("tags") is None and "tags" in one.source for one in made)
    assert any(isinstance(one.source.get("tags"), list) and None in one.source["tags"] for one in made)
    digits = {str(one.source["raw"]["digits"]) for one in made if "raw" in one.source}
    assert any(Decimal(float(one)) != Decimal(one) for one in digits)
    assert any(one.source["raw"]["big"] > 2**53 for one in made if "raw" in one.source)


def test_json_keeps_every_digit() -> None:
    text = '{"a":[0.1234567890123456789012345,1.50,-0.0,null],"ü":"1.50"}'
    assert dumps(loads(text)) == text
