from __future__ import annotations

import random

import pytest

from cherche_models.train.corpus import queries
from cherche_models.train.corpus.base import Document
from cherche_models.train.corpus.queries import KINDS, Rarity

DUCK = Document(
    "birds.Duck.quack",
    "The noise is heard on the far side of the pond. Other ducks answer within a few seconds.",
    "Makes a loud noise.",
)
RARITY = Rarity([DUCK.body, DUCK.body, "the pond of the village", "a noise in the night"])


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_query_is_not_left_in_its_document(kind: str) -> None:
    for seed in range(20):
        made = queries.make(DUCK, kind, RARITY, random.Random(seed))
        assert made is not None
        assert made.text.lower() not in made.positive.lower()


def test_each_kind_leaves_out_what_it_is_made_from() -> None:
    made = {kind: queries.make(DUCK, kind, RARITY, random.Random(1)) for kind in KINDS}
    shown = {kind: query.positive if query else "" for kind, query in made.items()}
    assert shown["title"] == DUCK.body
    assert shown["summary"] == f"{DUCK.title} {DUCK.text}"
    assert shown["question"] == f"{DUCK.title} {DUCK.text}"
    assert shown["inner"].startswith(f"{DUCK.title} {DUCK.summary} The noise is heard on the far side of the pond.")
    assert "answer" not in shown["inner"]
    assert shown["keywords"] == f"{DUCK.title} {DUCK.body}"


def test_a_negative_that_is_all_summary_keeps_it() -> None:
    assert queries.view(Document("duck.quack", "Makes a loud noise."), "summary") == "duck.quack Makes a loud noise."


def test_a_document_with_too_little_gives_none() -> None:
    short = Document("duck", "A bird.")
    assert queries.several(short, 4, RARITY, random.Random(0)) == []


def test_a_term_is_asked_for_by_any_of_its_names() -> None:
    term = Document("water", "A liquid that falls from the sky.", names=("water", "aqua"))
    asked = {
        query.text.lower() for seed in range(60) if (query := queries.make(term, "title", RARITY, random.Random(seed)))
    }
    assert {"water", "aqua"} <= asked
    defined = [queries.make(term, "question", RARITY, random.Random(seed)) for seed in range(60)]
    assert any(query and query.text.lower() == "what is aqua" for query in defined)


def test_a_sentence_that_hangs_on_the_one_before_is_no_query() -> None:
    hanging = Document("pond", "Ducks swim in the pond of the village. However, this does not mean that they like it.")
    assert queries.make(hanging, "inner", RARITY, random.Random(0)) is None


def test_a_known_question_comes_first_and_counts() -> None:
    claim = Document("Ducks", "The noise is heard on the far side of the pond.", questions=("Ducks are loud.",))
    assert [query.kind for query in queries.several(claim, 1, RARITY, random.Random(0))] == ["given"]


@pytest.mark.parametrize(
    ("summary", "asked"),
    [
        ("Copies a file to a folder.", "copy a file to a folder"),
        ("Return the owner", "return the owner"),
        ("A folder", None),
        ("Returns", None),
        ("Has a folder", None),
    ],
)
def test_a_summary_that_begins_with_a_verb_becomes_a_question(summary: str, asked: str | None) -> None:
    assert queries.question(summary) == asked


def test_a_misspelling_changes_one_word_a_little() -> None:
    for seed in range(50):
        changed = queries.misspelt("swimming ducks", random.Random(seed)).split()
        assert sum(a != b for a, b in zip(changed, ("swimming", "ducks"), strict=True)) <= 1
        assert abs(len(" ".join(changed)) - len("swimming ducks")) <= 1


def test_keywords_are_words_that_other_texts_have_too() -> None:
    found = queries.keywords(DUCK.body, 3, RARITY, random.Random(0))
    assert 0 < len(found) <= 3
    assert all(RARITY.known(word) > 1 and RARITY(word) > 0 for word in found)


def test_the_same_seed_gives_the_same_queries() -> None:
    assert queries.several(DUCK, 3, RARITY, random.Random(4)) == queries.several(DUCK, 3, RARITY, random.Random(4))
