"""Whether a vocabulary can write a text at all.

A word-piece model reads a script that it was not made for as ``[UNK] [UNK]`` or letter by
letter, a byte-level one as fragments of characters. All of it can be encoded, and every
such text looks like every other.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence

UNKNOWN_SHARE = 0.5
"""Share of unknown tokens above which a text is of an unknown language."""

_PIECES, _CHARACTERS = (100, 0.01), (2000, 0.1)
"""Tokens that make a script known: so many, or in a small vocabulary this share of it."""
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>\Z")
_IDEOGRAPHS = ("CJK", "HANGUL")
_LETTERS = frozenset({"Lu", "Ll", "Lt", "Lo"})


def unknown_ids(vocabulary: Sequence[str], unknown: int | None, *, byte_level: bool = False) -> frozenset[int]:
    """Ids of tokens that say nothing: ``[UNK]``, bytes, fragments of characters, letters of unknown scripts.

    A script is known if it is the vocabulary's most frequent one, if there are 100 pieces
    of it with two letters or more, or, of Chinese characters and Hangul, 2,000 tokens in all.

    Parameters
    ----------
    vocabulary : sequence of str
        Token strings in id order.
    unknown : int or None
        Id of ``[UNK]``.
    byte_level : bool
        Whether token strings write bytes as GPT-2 does.

    >>> sorted(unknown_ids(["[UNK]", "a", "the", "<0xE6>", "##ж", "7"], 0))
    [0, 3, 4]
    >>> sorted(unknown_ids(["the", "Ġof", "æ·"], None, byte_level=True))
    [2]
    """
    written = [_written(token, byte_level) for token in vocabulary]
    scripts = [_script(text) for text in written]
    known = _known([(script, text) for script, text in zip(scripts, written, strict=True) if script and text])
    found = {
        i
        for i, (text, script) in enumerate(zip(written, scripts, strict=True))
        if text is None or (script and script not in known)
    }
    return frozenset(found if unknown is None else {*found, unknown})


def is_unknown_language(ids: Sequence[int], unknown: Collection[int], special: Collection[int], frame: int = 0) -> bool:
    """Whether more than half of a text's tokens are unknown.

    Parameters
    ----------
    ids : sequence of int
        Of the text, with special tokens and prompt.
    unknown, special : collections of int
        Fast to ask for membership.
    frame : int
        Tokens that an empty text has beside the special ones: a prompt, a marker.

    >>> is_unknown_language([101, 100, 100, 7, 102], {100}, {101, 102})
    True
    >>> is_unknown_language([101, 100, 7, 8, 102], {100}, {101, 102})
    False
    """
    strange = sum(i in unknown for i in ids)
    return strange > 0 and strange > UNKNOWN_SHARE * (sum(i not in special for i in ids) - frame)


def _written(token: str, byte_level: bool) -> str | None:
    """The characters of a token; None for bytes that are none."""
    if _BYTE.match(token):
        return None
    if not byte_level or not all(letter in _TABLE for letter in token):
        return token
    try:
        return bytes(_TABLE[letter] for letter in token).decode("utf-8")
    except UnicodeDecodeError:
        return None


def _script(text: str | None) -> str:
    """Script of the first letter, by its name in Unicode; empty where there is no letter."""
    if text is None or text.isascii():
        return "LATIN" if text and any(map(str.isalpha, text)) else ""
    letters = (letter for letter in unicodedata.normalize("NFKC", text) if unicodedata.category(letter) in _LETTERS)
    return next((unicodedata.name(letter, "").partition(" ")[0] for letter in letters), "")


def _known(tokens: Sequence[tuple[str, str]]) -> set[str]:
    every = Counter(script for script, _ in tokens)
    pieces = Counter(script for script, text in tokens if sum(map(str.isalpha, text)) > 1)
    least, most = (min(count, share * len(tokens)) for count, share in (_PIECES, _CHARACTERS))
    own = {script for script, _ in every.most_common(1)}
    alphabets = {script for script in every if pieces[script] >= max(least, 1)}
    return own | alphabets | {script for script in _IDEOGRAPHS if every[script] >= max(most, 2)}


def _bytes() -> dict[str, int]:
    """GPT-2's way to write bytes as characters: printable Latin-1 as itself, the rest from U+0100 on."""
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(0x100) if byte not in own]
    return {chr(byte): byte for byte in own} | {chr(0x100 + i): byte for i, byte in enumerate(rest)}


_TABLE = _bytes()
