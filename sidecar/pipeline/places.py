"""Where in a text its tokens stand.

A tokenizer lowers, strips accents and cuts; its token strings are found again in the text in their order.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

Place = tuple[int, int]
"""First character, and the one behind the last."""

_CONTINUES = "##"
_BEGINS = ("▁", "Ġ")
_FARTHEST = 200  # characters that unknown tokens may have covered


def places(text: str, windows: Sequence[Sequence[str]], before: int, after: int, overlap: int) -> list[Place | None]:
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

    >>> places("The  naïve cats", [["[CLS]", "the", "naive", "cat", "##s", "[SEP]"]], 1, 1, 0)
    [None, (0, 3), (5, 10), (11, 14), (14, 15), None]
    """
    folded, origins = _folded(text)
    found: list[Place | None] = []
    earlier: Sequence[str] = ()
    starts: list[int] = []  # where the search for each token of the window before began
    cursor = 0
    for window in windows:
        body = window[before : len(window) - after]
        shared = _shared(earlier, body, overlap)
        cursor = starts[-shared] if shared else cursor
        starts, inside, is_lost = [], list[Place | None](), False
        for token in body:
            starts.append(cursor)
            at, end = _next(folded, token, cursor, is_lost)
            is_lost = at < 0
            if is_lost:
                inside.append(None)
            else:
                inside.append((origins[at], _with_marks(text, origins[end - 1] + 1)))
                cursor = end
        found += [*[None] * before, *inside, *[None] * after]
        earlier = body
    return found


def _next(folded: str, token: str, cursor: int, is_lost: bool) -> tuple[int, int]:
    """Place of a token from `cursor` on, past white space, or past what unknown tokens covered; -1 for none."""
    continues = token.startswith(_CONTINUES) and len(token) > len(_CONTINUES)
    piece, _ = _folded(token.removeprefix(_CONTINUES) if continues else token.lstrip("".join(_BEGINS)))
    if not piece:
        return -1, -1
    at = folded.find(piece, cursor, cursor + _FARTHEST + len(piece))
    is_near = at == cursor or (at > cursor and (is_lost or (not continues and folded[cursor:at].isspace())))
    return (at, at + len(piece)) if is_near else (-1, -1)


def _shared(earlier: Sequence[str], body: Sequence[str], most: int) -> int:
    """How many tokens at the end of a window are those at the beginning of the next."""
    sizes = range(min(most, len(earlier), len(body)), 0, -1)
    return next((size for size in sizes if list(earlier[-size:]) == list(body[:size])), 0)


def _folded(text: str) -> tuple[str, list[int]]:
    """A text in lower case, without what tokenizers drop or rewrite, and the position in `text` of each character.

    Compatibility forms (ﬁ, ２) become what they stand for, accents and characters without a shape of their own (soft
    hyphens, zero-width spaces, controls) go: normalizers differ in them, and a token is folded as well.
    """
    characters, origins = [], []
    for place, character in enumerate(text):
        for one in _bare(character):
            characters.append(one)
            origins.append(place)
    return "".join(characters), origins


@lru_cache(maxsize=1 << 13)
def _bare(character: str) -> str:
    return "".join(filter(_has_shape, unicodedata.normalize("NFKD", character))).lower()


def _has_shape(character: str) -> bool:
    category = unicodedata.category(character)
    return category != "Mn" and (category[0] != "C" or character.isspace())


def _with_marks(text: str, end: int) -> int:
    """The end of a place, past the combining marks of its last character."""
    while end < len(text) and unicodedata.category(text[end]) == "Mn":
        end += 1
    return end
