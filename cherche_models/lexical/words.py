"""Words of a text as Lucene's `english` analyzer makes them, before it stems them.

Words are those of Unicode's word boundaries (UAX #29) with Lucene's additions: an ideograph or hiragana is one word,
and so is a run of a script that is written without spaces, such as Thai. Two rules go beyond Lucene: Latin
and Greek letters lose their accents, and both apostrophes are one.
"""

from __future__ import annotations

import re
import unicodedata

import regex

# EnglishAnalyzer.ENGLISH_STOP_WORDS_SET
_LISTED = """
a an and are as at be but by for if in into is it no not of on or such that the their then there these they this to was
will with
"""
STOP_WORDS = frozenset(_LISTED.split())
_AFTER = r"[\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]*+"


def _words_of(letter: str, digit: str, joiner: str, within_letters: str, within_digits: str, other: str = "") -> str:
    """Pattern of letters and digits, with the punctuation that may stand within (rules WB6, 7, 11 and 12)."""
    letters = f"{letter}+(?:{within_letters}{letter}+)*"
    digits = f"{digit}+(?:{within_digits}{digit}+)*"
    block = f"(?:(?:{letters}|{digits})+{other})"
    # A run of joiners is tried once, not from each of its characters: a text of nothing else takes linear time.
    return f"(?<!{joiner}){joiner}*+{block}(?:{joiner}+{block})*{joiner}*"


_ASCII = re.compile(_words_of("[A-Za-z]", "[0-9]", "_", "[.:']", "[.,;']"))  # the same on ASCII, three times faster
_UNICODE = regex.compile(
    _words_of(
        rf"(?:[\p{{WB=ALetter}}\p{{WB=Hebrew_Letter}}]{_AFTER})",
        rf"(?:\p{{WB=Numeric}}{_AFTER})",
        r"\p{WB=ExtendNumLet}",
        rf"[\p{{WB=MidLetter}}\p{{WB=MidNumLet}}']{_AFTER}",
        rf"[\p{{WB=MidNum}}\p{{WB=MidNumLet}}']{_AFTER}",
        rf"|(?:\p{{WB=Katakana}}{_AFTER})+",
    )
    + rf"|[\p{{Han}}\p{{Hiragana}}]{_AFTER}|(?:\p{{LB=SA}}{_AFTER})+"
    + rf"|(?:[\p{{Extended_Pictographic}}\p{{Emoji_Presentation}}]{_AFTER})"
    + rf"(?:(?<=\u200D)\p{{Extended_Pictographic}}{_AFTER})*",
    regex.VERSION1,
)
_POSSESSIVE = ("'s", "’s", "＇s")
_ACCENTS = regex.compile(r"([\p{Latin}\p{Greek}])[\u0300-\u036f]+")


def words(text: str) -> list[str]:
    """Words of a text in order, without stop words, possessive endings, case and accents.

    >>> words("What's the Mach number of Müller's 3.5 kg x-ray?")
    ['what', 'mach', 'number', 'muller', '3.5', 'kg', 'x', 'ray']
    >>> words("東京の天気")
    ['東', '京', 'の', '天', '気']
    """
    found = []
    for token in (_ASCII if text.isascii() else _UNICODE).findall(text):
        word = token.lower()
        if word.endswith(_POSSESSIVE):
            word = word[:-2]
        if word and word not in STOP_WORDS:
            found.append(word if word.isalnum() and word.isascii() else _folded(word))
    return found


def _folded(word: str) -> str:
    return unicodedata.normalize("NFC", _ACCENTS.sub(r"\1", unicodedata.normalize("NFD", word))).replace("'", "’")
