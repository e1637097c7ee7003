"""Examples and held-out sets made of documents: what is left out, and who never meets whom."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from cherche_models.errors import DataError
from cherche_models.train import made
from cherche_models.train.made import make, passages_of

WORDS = [f"{a}{b}" for a in ("bra", "hea", "ce", "prot", "sea", "ind") for b in ("in", "rt", "ll", "ein", "rch", "ex")]


def texts(count: int, seed: int = 0) -> dict[str, list[str]]:
    chance = random.Random(seed)

    def sentence() -> str:
        return f"The {' and the '.join(chance.sample(WORDS, 5))} can be seen."

    return {str(i): [f"{chance.choice(WORDS)} {i}", " ".join(sentence() for _ in range(5))] for i in range(count)}


def test_held_out_documents_are_not_trained_on() -> None:
    found = make(texts(120), most=1000)
    held_out = {**found.development.documents, **found.test.documents}
    assert not found.development.documents.keys() & found.test.documents.keys()
    assert found.used == 120
    assert 15 <= len(held_out) <= 45
    trained = {text for example in found.examples for text in (example.positive, *example.negatives, *example.answers)}
    sentences = {text.rpartition("The ")[2] for (text,) in held_out.values()}
    assert not [text for text in trained if text.rpartition("The ")[2] in sentences]
    for judged in (found.development, found.test):
        assert judged.queries.keys() == judged.qrels.keys() <= judged.documents.keys()


def test_documents_that_begin_alike_lie_on_one_side() -> None:
    documents = texts(100)
    twins = {f"twin {key}": [title, text + " The twin can be seen."] for key, (title, text) in documents.items()}
    found = make({**documents, **twins}, most=1000)
    held_out = {*found.development.documents, *found.test.documents}
    assert all((f"twin {key}" in held_out) == (key in held_out) for key in documents)


def test_no_negative_is_another_passage_of_the_document() -> None:
    paragraph = " ".join(f"{word} of the" for word in WORDS)
    long = {key: [title, f"{text}\n" + "\n".join([paragraph] * 6)] for key, (title, text) in texts(60).items()}
    found = make(long, most=1000)
    assert all(not {*example.negatives} & {*example.answers} for example in found.examples)
    assert all(example.positive not in example.negatives for example in found.examples)
    assert max(len(example.answers) for example in found.examples) > 1


def test_it_is_the_same_each_time_and_as_many_as_wanted(tmp_path: Path) -> None:
    found = make(texts(80), most=30, seed=4)
    assert found == make(texts(80), most=30, seed=4)
    assert found != make(texts(80), most=30, seed=5)
    assert len(found.examples) == 30
    found.write(tmp_path / "state")
    assert made.read(tmp_path / "state") == found


def test_questions_are_made_of_english_alone() -> None:
    english = {key: [title.rstrip(" 0123456789"), text] for key, (title, text) in texts(100).items()}
    german = {
        key: [title, text.replace("The ", "Der ").replace(" and the ", " und das ").replace("can be seen", "ist da")]
        for key, (title, text) in english.items()
    }
    assert "question" in {example.source for example in make(english, most=1000).examples}
    kinds = {example.source for example in make(german, most=1000).examples}
    assert "question" not in kinds
    assert len(kinds) > 2


@pytest.mark.parametrize("documents", [texts(49), {key: [title, ""] for key, (title, _) in texts(200).items()}, {}])
def test_too_few_documents_are_refused(documents: dict[str, list[str]]) -> None:
    with pytest.raises(DataError, match=r"have enough text to make queries from.*--documents"):
        make(documents, most=10)


LONG = "It has a body of some words that are enough for a passage."


@pytest.mark.parametrize(
    ("fields", "titles"),
    [
        (["Ducks", LONG], ["Ducks"]),
        (["", LONG], [""]),
        ([f"Ducks\n\n{LONG}"], ["Ducks"]),
        ([f"{LONG}\n{LONG}"], [""]),
        ([f"# Ducks\n{LONG}\n## Food ##\n{LONG}"], ["Ducks", "Ducks: Food"]),
        ([" ".join(["word"] * 30), LONG], [""]),
        (["Ducks", "Too short."], []),
        ([""], []),
        ([], []),
    ],
)
def test_titles_and_headings(fields: list[str], titles: list[str]) -> None:
    assert [document.title for document in passages_of(fields)] == titles
