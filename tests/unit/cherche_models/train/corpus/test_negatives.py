from __future__ import annotations

import random

from cherche_models.train.corpus.base import Document
from cherche_models.train.corpus.negatives import Negatives
from cherche_models.train.corpus.queries import Query, Rarity

DOCUMENTS = [
    Document("duck", "swims across ponds with small yellow ducklings behind"),
    Document("Duck", "a ship that was built for rivers, ponds and canals"),  # the same name
    Document("mallard", "swims across ponds with small brown ducklings behind"),  # nearly the same text
    Document("heron", "stands near ponds, hunting small fish early each morning"),
    Document("frog", "sleeps below ponds during winter nights"),
    Document("owl", "flies through woods after dark"),
    Document("fox", "runs across fields", questions=("what lives near ponds",)),
]
RARITY = Rarity(document.body for document in DOCUMENTS)
QUERY = Query("title", "small ponds", DOCUMENTS[0].body)


def test_the_best_matches_without_the_positive_and_what_is_like_it() -> None:
    found = Negatives(DOCUMENTS, RARITY, skip=0, keep=2).of(QUERY, 0, random.Random(0))
    assert found == [DOCUMENTS[3].body, DOCUMENTS[4].body]


def test_the_first_ranks_are_skipped_and_random_documents_fill_up() -> None:
    found = Negatives(DOCUMENTS, RARITY, skip=1, keep=3).of(QUERY, 0, random.Random(0))
    assert found[0] == DOCUMENTS[4].body
    assert set(found[1:]) <= {DOCUMENTS[3].body, DOCUMENTS[5].body, DOCUMENTS[6].body}


def test_a_document_with_the_same_question_is_no_negative() -> None:
    asked = Document("cow", "eats grass all day long", questions=("what lives near ponds",))
    miner = Negatives([*DOCUMENTS, asked], RARITY, skip=0, keep=8)
    assert DOCUMENTS[6].body not in miner.of(Query("title", "grass", asked.body), len(DOCUMENTS), random.Random(0))


def test_negatives_are_shown_as_the_positive_is() -> None:
    found = Negatives(DOCUMENTS, RARITY, skip=0, keep=1).of(Query("keywords", "small ponds", ""), 0, random.Random(0))
    assert found == [f"heron {DOCUMENTS[3].body}"]
