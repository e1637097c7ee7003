"""Detection of texts that a vocabulary does not cover.

A WordPiece vocabulary splits text in an unknown script into ``[UNK]`` or single letters, a
byte-level one into fragments of characters. The encodings of such texts are alike and
useless for search.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence

UNKNOWN_SHARE = 0.5
"""Share of unknown tokens above which a text's language counts as unknown."""

_PIECES, _CHARACTERS = (100, 0.01), (2000, 0.1)
"""Minimum tokens of a known script: a count, or for small vocabularies a share of the vocabulary."""
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>\Z")
_IDEOGRAPHS = ("CJK", "HANGUL")
_LETTERS = frozenset({"Lu", "Ll", "Lt", "Lo"})


def unknown_ids(vocabulary: Sequence[str], unknown: int | None, *, byte_level: bool = False) -> frozenset[int]:
    """Ids of uninformative tokens: ``[UNK]``, bytes, fragments of characters, letters of unknown scripts.

    A script is known if it is the vocabulary's most frequent one, if it has 100 tokens of two
    or more letters, or, for Chinese characters and Hangul, 2,000 tokens in total.

    Parameters
    ----------
    vocabulary : sequence of str
        Token strings in id order.
    unknown : int or None
        Id of ``[UNK]``.
    byte_level : bool
        Whether token strings represent bytes as in GPT-2.

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
        With fast membership tests.
    frame : int
        Tokens of an empty text other than special ones: a prompt, a marker.

    >>> is_unknown_language([101, 100, 100, 7, 102], {100}, {101, 102})
    True
    >>> is_unknown_language([101, 100, 7, 8, 102], {100}, {101, 102})
    False
    """
    count = sum(i in unknown for i in ids)
    return count > 0 and count > UNKNOWN_SHARE * (sum(i not in special for i in ids) - frame)


def _written(token: str, byte_level: bool) -> str | None:
    """The characters of a token; None for bytes that are not complete characters."""
    if _BYTE.match(token):
        return None
    if not byte_level or not all(letter in _TABLE for letter in token):
        return token
    try:
        return bytes(_TABLE[letter] for letter in token).decode("utf-8")
    except UnicodeDecodeError:
        return None


def _script(text: str | None) -> str:
    """Script of the first letter: the first word of its Unicode name; empty without a letter."""
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
    """GPT-2's mapping of bytes to characters: printable Latin-1 to itself, the rest to U+0100 and up."""
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(0x100) if byte not in own]
    return {chr(byte): byte for byte in own} | {chr(0x100 + i): byte for i, byte in enumerate(rest)}


_TABLE = _bytes()
