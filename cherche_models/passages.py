"""Passages: the windows of a text that answer a query best, by MaxSim."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from cherche_models import scores
from cherche_models.types import Floats, TokenEmbeddings

Place = tuple[int, int]
"""First character, and the one behind the last."""
Ints = NDArray[np.int64]

SIZE = 48  # tokens: two or three lines
_RUN = re.compile(r"\S+")
_LONGEST_WORD = 30  # characters; a longer run is a text without spaces, an address or a blob
_EQUAL = 1e-6


@dataclass(frozen=True, slots=True)
class Answer:
    """The best token of a passage for one query token.

    Attributes
    ----------
    query : int
        Row of the query token.
    start, end : int
        Characters of the text.
    similarity : float
    """

    query: int
    start: int
    end: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Passage:
    """A window of a text.

    Attributes
    ----------
    start, end : int
        Characters of the text: Unicode code points.
    score : float
        Its MaxSim, the sum of the answers' similarities.
    answers : tuple of Answer
        One for each query token.
    """

    start: int
    end: int
    score: float
    answers: tuple[Answer, ...]


def best(
    query: TokenEmbeddings,
    document: TokenEmbeddings,
    places: Sequence[Place | None],
    text: str,
    *,
    count: int = 1,
    size: int = SIZE,
) -> list[Passage]:
    """The windows of a text with the largest MaxSim (Khattab & Zaharia 2020, eq. 3, over the window's tokens).

    Windows begin and end with a word and do not overlap: the best one of all, then the best one beside it. Where
    windows are equally good, the middle one of them is taken, so that what answers has words on both sides.

    Parameters
    ----------
    query : TokenEmbeddings, shape (query tokens, dim)
    document : TokenEmbeddings, shape (tokens, dim)
        Rows may be in any order, and several may be of one place, as in chunks that overlap.
    places : sequence of (int, int) or None
        Characters of the text that each row is of; None for a row that is of none, such as ``[CLS]``.
    text : str
    count : int
        Most windows.
    size : int
        Tokens of a window: as few words as hold so many; fewer tokens where the text has no more.

    Returns
    -------
    list of Passage, best first. None where no row has a place or the query no token.

    Raises
    ------
    ValueError
        If rows and places differ in number, or query and document in dimension.

    >>> query, document = (TokenEmbeddings(np.eye(3, dtype=np.float32)[rows]) for rows in ([1], [0, 1, 2]))
    >>> [found] = best(query, document, [(0, 1), (2, 4), (5, 6)], "a bé c", size=1)
    >>> (found.start, found.end, found.score), found.answers[0].similarity
    ((2, 4, 1.0), 1.0)
    """
    if len(places) != len(document):
        raise ValueError(f"{len(document)} token embeddings have {len(places)} places: give one for each")
    rows = sorted((place, row) for row, place in enumerate(places) if place is not None and place[0] < place[1])
    words = _words([place for place, _ in rows], text)
    if not words or not len(query):
        return []
    similarities = scores.similarities(query, document)[:, [row for _, row in rows]]
    firsts, weights = np.array([word.first for word in words]), [word.weight for word in words]
    starts, ends = _windows(np.concatenate(([0], np.cumsum(weights))), size)
    found = _maxsim(np.maximum.reduceat(similarities, firsts, axis=1), starts, ends)
    bounds = [*firsts.tolist(), len(rows)]
    passages = []
    for window in _chosen(found, starts, ends, count):
        begin, end = int(starts[window]), int(ends[window])
        inside = slice(bounds[begin], bounds[end])
        answers = _answers(similarities[:, inside], [place for place, _ in rows[inside]])
        score = sum(answer.similarity for answer in answers)
        passages.append(Passage(words[begin].start, words[end - 1].end, score, answers))
    return passages


@dataclass(slots=True)
class _Word:
    """A word with tokens: its characters, the first of its rows, and how many places they are of."""

    start: int
    end: int
    first: int
    weight: int


def _words(places: Sequence[Place], text: str) -> list[_Word]:
    """Words with tokens, in order; those that share a token are one."""
    # A text may go on for megabytes behind the last token that was read of it.
    read = max((end for _, end in places), default=0)
    spans = list(takewhile(lambda span: span[0] < read, word_spans(text)))
    starts, ends = [start for start, _ in spans], [end for _, end in spans]
    # Of each token the first word that it is of, and the last.
    first = np.searchsorted(ends, [place[0] for place in places], "right").tolist()
    last = (np.searchsorted(starts, [place[1] for place in places], "left") - 1).tolist()
    found: list[_Word] = []
    for row, (place, one, other) in enumerate(zip(places, first, last, strict=True)):
        start, end = (starts[one], ends[other]) if one <= other else place
        if found and start < found[-1].end:
            found[-1].end = max(found[-1].end, end)
            found[-1].weight += place != places[row - 1]
        else:
            found.append(_Word(start, end, row, 1))
    return found


def word_spans(text: str) -> Iterator[Place]:
    """Words of a text with the punctuation at them: what stands between white space.

    A run that is longer than a word, as where a script has no spaces, is cut at Unicode's word boundaries (UAX #29),
    and what has none, such as a blob in letters, between characters as people see them.

    >>> list(word_spans("don't  stop!")), len(list(word_spans("知" * 31)))
    ([(0, 5), (7, 12)], 31)
    """
    for run in _RUN.finditer(text):
        start, end = run.span()
        if end - start <= _LONGEST_WORD:
            yield start, end
        else:
            yield from _pieces(text, start, end)


def _pieces(text: str, start: int, end: int) -> Iterator[Place]:
    import regex  # here, so that what only talks to a sidecar runs without it

    between_words = regex.compile(r".+?(?:\b|$)", regex.WORD | regex.DOTALL)
    characters = regex.compile(rf"\X{{1,{_LONGEST_WORD}}}")
    for part in between_words.finditer(text, start, end):
        yield from (piece.span() for piece in characters.finditer(text, *part.span()))


def _windows(sums: Ints, size: int) -> tuple[Ints, Ints]:
    """First and behind the last word of each window; those that are part of another at the end are left out."""
    starts = np.arange(len(sums) - 1)
    ends = np.minimum(np.searchsorted(sums, sums[:-1] + size, "left"), len(sums) - 1)
    kept = starts <= int(np.argmax(ends == len(sums) - 1))
    return starts[kept], ends[kept]


def _maxsim(similarities: Floats, starts: Ints, ends: Ints) -> Floats:
    """MaxSim of each window: maxima of two overlapping powers of two cover any run."""
    levels = np.frexp((ends - starts).astype(np.float64))[1] - 1
    result, table = np.empty(len(starts), np.float32), similarities
    for level in range(int(levels.max()) + 1):
        width = 1 << level
        here = np.flatnonzero(levels == level)
        covered = np.maximum(table[:, starts[here]], table[:, ends[here] - width])
        result[here] = covered.sum(axis=0)
        table = np.maximum(table[:, :-width], table[:, width:])
    return result


def _chosen(found: Floats, starts: Ints, ends: Ints, count: int) -> Iterator[int]:
    """Best windows that do not overlap, best first."""
    left = found.astype(np.float64)
    for _ in range(count):
        most = left.max()
        if not np.isfinite(most):
            return
        equal = np.flatnonzero(left >= most - _EQUAL)
        run = equal[: int(np.argmax(np.append(np.diff(equal) > 1, True))) + 1]
        window = int(run[len(run) // 2])
        yield window
        left[(starts < ends[window]) & (ends > starts[window])] = -np.inf


def _answers(similarities: Floats, places: Sequence[Place]) -> tuple[Answer, ...]:
    answers = []
    for row, token in enumerate(similarities.argmax(axis=1)):
        start, end = places[int(token)]
        answers.append(Answer(row, start, end, float(similarities[row, token])))
    return tuple(answers)
