from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cherche_models.train.corpus.text import LONGEST, SHORTEST, USUAL, fingerprint, is_prose, passages, sentences


def test_a_passage_ends_between_paragraphs_and_a_long_paragraph_between_sentences() -> None:
    short, long = "one two three four five six.", " ".join(["This is a sentence of several words."] * 60)
    assert list(passages([short, short])) == [f"{short} {short}"]
    made = list(passages([short, long, "And so."]))
    assert made[0].startswith(short)
    assert all(text.endswith(".") and len(text.split()) <= LONGEST for text in made)
    assert " ".join(made) == f"{short} {long} And so."


def test_a_short_rest_is_appended_and_a_short_section_dropped() -> None:
    assert list(passages(["too short"])) == []
    paragraph = " ".join(["word"] * USUAL)
    assert list(passages([paragraph, "a rest"])) == [f"{paragraph} a rest"]


@given(st.lists(st.text(alphabet="ab. A", max_size=900), max_size=4))
def test_no_word_is_lost_from_a_text_that_is_long_enough(paragraphs: list[str]) -> None:
    made = list(passages(paragraphs))
    whole = " ".join(paragraphs).split()
    assert " ".join(made).split() == (whole if len(whole) >= SHORTEST else [])


def test_sentences_know_common_abbreviations() -> None:
    assert sentences("See Fig. A of Dr. Who, i.e. The book. It is red.") == [
        "See Fig. A of Dr. Who, i.e. The book.",
        "It is red.",
    ]


def test_a_fingerprint_ignores_case_punctuation_and_what_comes_late() -> None:
    start = "The quick brown fox jumps over the lazy dog and swims to the other side of the wide and muddy river "
    assert fingerprint(f"{start}today") == fingerprint(f"{start.upper()}- tomorrow")
    assert fingerprint(start) != fingerprint(f"Then {start}")


def test_tables_code_and_other_languages_are_no_prose() -> None:
    assert is_prose("The kernel writes the page to the disk when the timer expires.")
    assert not is_prose("0x00 0x01 | 12 34 56 | 78.5 12.1 | 0x44 0x99 0x12")
    assert not is_prose("Le noyau écrit la page sur le disque quand le minuteur expire.")
    assert not is_prose("")
