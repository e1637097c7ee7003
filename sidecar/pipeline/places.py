"""Where in a text its tokens stand.

A tokenizer lowers, strips accents and cuts; its token strings are found again in the text in their order.
"""

from __future__ import annotations

import re
import string
import unicodedata
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

Place = tuple[int, int]
"""First character, and the one behind the last."""

_CONTINUES = "##"
_BEGINS = ("▁", "Ġ")
_FARTHEST = 200  # characters that unknown tokens may have covered
_MOST_LOST = 1 << 16  # characters that a row of them may have covered: each is looked for in all of these
_ASCII = frozenset(string.ascii_lowercase + string.digits)
_BLOCK = 1 << 12  # characters that are folded at once
_RUN = re.compile(r"\S+")


def places(
    text: str,
    windows: Sequence[Sequence[str]],
    before: int,
    after: int,
    overlap: int,
    starts: Mapping[int, int] = MappingProxyType({}),
) -> list[Place | None]:
    """Place of each token of all windows, one after the other; None for special and unknown ones.

    Byte-level tokens (``Ġ``) are found where they are ASCII.

    Parameters
    ----------
    text : str
        What was cut into tokens.
    windows : sequence of sequences of str
        Token strings, special ones included.
    before, after : int
        Special tokens at both ends of each window.
    overlap : int
        Most tokens that a window shares with the one before.
    starts : mapping of int to int
        Characters that tokens begin at, by their number among all, special ones and those that windows share left
        out: where a field begins whose share of tokens cut the one before.

    >>> places("The  naïve cats", [["[CLS]", "the", "naive", "cat", "##s", "[SEP]"]], 1, 1, 0)
    [None, (0, 3), (5, 10), (11, 14), (14, 15), None]
    """
    folded = _Folded(text)
    found: list[Place | None] = []
    earlier: Sequence[str] = ()
    # Of each token of the window before: where the search for it began, and how far words were lost there.
    searched: list[tuple[int, int]] = []
    cursor, reach, number = 0, 0, 0
    for window in windows:
        body = window[before : len(window) - after]
        shared = _shared(earlier, body, overlap)
        cursor, reach = searched[-shared] if shared else (cursor, reach)
        number -= shared
        searched, inside = [], list[Place | None]()
        for token in body:
            if number in starts:
                cursor = reach = folded.at(starts[number])
            number += 1
            searched.append((cursor, reach))
            at, end = _next(folded, token, cursor, reach)
            if at < 0:
                inside.append(None)
                reach = _behind_word(folded, cursor, max(reach, cursor))
            else:
                inside.append((folded.origins[at], _with_marks(text, folded.origins[end - 1] + 1)))
                cursor = reach = end
        found += [*[None] * before, *inside, *[None] * after]
        earlier = body
    return found


def _next(folded: _Folded, token: str, cursor: int, reach: int) -> tuple[int, int]:
    """Place of a token from `cursor` on: past white space, or past lost words, up to `reach`; -1 for none."""
    continues = token.startswith(_CONTINUES) and len(token) > len(_CONTINUES)
    written = token.removeprefix(_CONTINUES) if continues else token.lstrip("".join(_BEGINS))
    piece = "".join(map(_bare, written))
    if not piece:
        return -1, -1
    limit = (cursor if continues else max(cursor, reach)) + _FARTHEST + len(piece)
    within = folded.upto(limit)
    at = within.find(piece, cursor, limit)
    if at > cursor and reach > cursor and piece[0] in _ASCII and not continues:
        # Not in the midst of a word that is lost, of which a blob has many letters.
        word = re.compile(rf"(?<![a-z0-9]){re.escape(piece)}").search(within, cursor, limit)
        at = word.start() if word else -1
    is_near = at == cursor or (at > cursor and (reach > cursor or (not continues and within[cursor:at].isspace())))
    return (at, at + len(piece)) if is_near else (-1, -1)


def _behind_word(folded: _Folded, cursor: int, reach: int) -> int:
    """The end of the next word from `reach` on: a token that was not found may be all of it, such as a blob."""
    within = folded.upto(cursor + _MOST_LOST)
    word = _RUN.search(within, reach, cursor + _MOST_LOST)
    return word.end() if word else max(reach, cursor + 1)


def _shared(earlier: Sequence[str], body: Sequence[str], most: int) -> int:
    """How many tokens at the end of a window are those at the beginning of the next."""
    sizes = range(min(most, len(earlier), len(body)), 0, -1)
    return next((size for size in sizes if list(earlier[-size:]) == list(body[:size])), 0)


class _Folded:
    """A text in lower case, without what tokenizers drop or rewrite, and the position in it of each character.

    Compatibility forms (ﬁ, ２) become what they stand for, accents and characters without a shape of their own (soft
    hyphens, zero-width spaces, controls) go: normalizers differ in them, and a token is folded as well. It is folded
    only as far as tokens are looked for: a model reads the beginning of a text of megabytes.
    """

    def __init__(self, text: str) -> None:
        self.characters = ""
        self.origins: list[int] = []
        self._text = text
        self._next = 0

    def at(self, place: int) -> int:
        """The first character that is of this place of the text, or of one behind it."""
        while self._next <= place and self._next < len(self._text):
            self.upto(len(self.characters) + 1)
        return bisect_left(self.origins, place)

    def upto(self, length: int) -> str:
        """So many characters at least, or all there are."""
        while len(self.characters) < length and self._next < len(self._text):
            start, self._next = self._next, self._next + max(_BLOCK, len(self.characters))
            bare = [_bare(character) for character in self._text[start : self._next]]
            self.characters += "".join(bare)
            self.origins += [place for place, one in enumerate(bare, start) for _ in one]
        return self.characters


@lru_cache(maxsize=1 << 13)
def _bare(character: str) -> str:
    bare = "".join(filter(_has_shape, unicodedata.normalize("NFKD", character))).lower()
    # An accent by itself (´ ¨ ¸) is compatible with a space and a mark, but no place where words end.
    return bare if character.isspace() or " " not in bare else bare.replace(" ", "") or character


def _has_shape(character: str) -> bool:
    category = unicodedata.category(character)
    return category != "Mn" and (category[0] != "C" or character.isspace())


def _with_marks(text: str, end: int) -> int:
    """The end of a place, past the combining marks of its last character."""
    while end < len(text) and unicodedata.category(text[end]) == "Mn":
        end += 1
    return end
