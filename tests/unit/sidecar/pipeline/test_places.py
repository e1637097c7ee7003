"""Tokens are found again in the text that they were cut from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.pipeline import places as module
from sidecar.pipeline.places import places
from sidecar.testing import FakeModel


def shown(text: str, *tokens: str) -> list[str | None]:
    found = places(text, [("[CLS]", *tokens, "[SEP]")], 1, 1, 0)
    assert (found[0], found[-1]) == (None, None)
    return [None if place is None else text[slice(*place)] for place in found[1:-1]]


def test_accents_case_and_combining_marks_are_part_of_the_text() -> None:
    assert shown("Zürich im Cafe\u0301!", "zurich", "im", "cafe", "!") == ["Zürich", "im", "Cafe\u0301", "!"]


def test_a_continuation_stands_where_the_token_before_ends() -> None:
    assert shown("unaffable s", "una", "##ffa", "##ble", "s") == ["una", "ffa", "ble", "s"]
    assert shown("un s", "un", "##s") == ["un", None]


def test_characters_beyond_the_basic_plane_count_as_one() -> None:
    assert shown("🙂 smile 🙂 twice", "[UNK]", "smile", "[UNK]", "twice") == [None, "smile", None, "twice"]


def test_a_token_does_not_jump_over_words() -> None:
    assert shown("one two three", "three", "one") == [None, "one"]


def test_pieces_of_other_tokenizers() -> None:
    assert shown("Hello wide world", "▁hello", "▁wi", "de", "Ġworld") == ["Hello", "wi", "de", "world"]


def test_letters_that_become_two_when_they_are_lowered() -> None:
    assert shown("İstanbul rocks", "istanbul", "rocks") == ["İstanbul", "rocks"]


def test_characters_that_tokenizers_drop_or_rewrite() -> None:
    assert shown("zero\u200bwidth so\u00adft \u200e\u202bשלום", "zero", "##wi", "##dth", "soft", "שלום") == [
        "zero",
        "wi",
        "dth",
        "so\u00adft",
        "שלום",
    ]
    assert shown("the ﬁrst ２ of ｱ", "the", "first", "2", "of", "ア") == ["the", "ﬁrst", "２", "of", "ｱ"]
    assert shown("a\x00b <b>c</b>", "ab", "<", "b", ">", "c", "<", "/", "b", ">")[:5] == ["a\x00b", "<", "b", ">", "c"]


def test_an_accent_by_itself_is_no_space() -> None:
    text = "it ´ is don´t a¨ ¸"
    tokens = ("it", "´", "is", "don", "##´", "##t", "a", "##¨", "¸")
    assert places(text, [("[CLS]", *tokens, "[SEP]")], 1, 1, 0)[1:-1] == [
        (0, 2),
        (3, 4),
        (5, 7),
        (8, 11),
        (11, 12),
        (12, 13),
        (14, 15),
        (15, 16),
        (17, 18),
    ]


def test_a_field_begins_where_it_is_said_to() -> None:
    text = "one two three one two"
    windows = [("[CLS]", "one", "two", "one", "[SEP]"), ("[CLS]", "one", "two", "[SEP]")]
    assert places(text, windows, 1, 1, 1, {0: 0, 2: 14}) == [
        None,
        (0, 3),
        (4, 7),
        (14, 17),
        None,
        None,
        (14, 17),
        (18, 21),
        None,
    ]
    assert places("é" * 9_000 + " b", [("b",)], 0, 0, 0, {0: 9_001}) == [(9_001, 9_002)]


def test_what_follows_a_long_stretch_of_unknown_words_is_found() -> None:
    lost, end = "[UNK]", ("the", "cat", "##s", ".")
    blobs = " ".join(["deadbeef" * 40] * 3)
    assert shown(f"begin {blobs} the cats.", "begin", *[lost] * 3, *end)[-4:] == ["the", "cat", "s", "."]
    assert shown(f"begin {'知識' * 200} the cats.", "begin", *[lost] * 400, *end)[-4:] == ["the", "cat", "s", "."]
    # Unknown words that a window ends with are behind the next one too.
    windows = [("[CLS]", "begin", *[lost] * 3, "[SEP]"), ("[CLS]", "the", "cat", "[SEP]")]
    text = f"begin {blobs} the cats."
    found = places(text, windows, 1, 1, 0)
    assert [text[slice(*place)] for place in found if place] == ["begin", "the", "cat"]


def test_a_letter_of_a_lost_word_is_no_word() -> None:
    text = f"begin {'deadbeef' * 20} a cat"
    assert places(text, [("begin", "[UNK]", "a", "cat")], 0, 0, 0) == [(0, 5), None, (167, 168), (169, 172)]


def test_a_continuation_is_not_looked_for_behind_lost_words() -> None:
    assert shown(f"begin {'deadbeef' * 40} cats", "begin", "[UNK]", "##s") == ["begin", None, None]


def test_a_text_is_read_as_far_as_its_tokens_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    fold = module._bare
    monkeypatch.setattr(module, "_bare", lambda character: (read.append(character), fold(character))[1])
    assert shown("word " * 100_000, "word", "word") == ["word", "word"]
    assert len(read) < 10_000


def test_windows_that_overlap_are_found_twice() -> None:
    text = "a b a c a d"
    windows = [("[CLS]", "a", "b", "a", "c", "[SEP]"), ("[CLS]", "a", "c", "a", "d", "[SEP]")]
    found = places(text, windows, 1, 1, 2)
    assert found == [None, (0, 1), (2, 3), (4, 5), (6, 7), None, None, (4, 5), (6, 7), (8, 9), (10, 11), None]


@given(st.text(st.sampled_from("abÀß çЖ世🙂 .,"), max_size=40))
def test_places_hold_their_tokens_in_order(text: str) -> None:
    model = FakeModel(max_length=200)
    [tokens] = model.tokenize([text], "document")
    found = places(text, [tokens.texts], 1, 1, 0)
    assert len(found) == len(tokens.texts)
    ends = [0]
    for token, place in zip(tokens.texts[1:-1], found[1:-1], strict=True):
        assert place is not None
        assert text[slice(*place)].lower() == token
        assert place[0] >= ends[-1]
        ends.append(place[1])
