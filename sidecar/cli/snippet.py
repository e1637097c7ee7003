"""What a hit's row shows of its text: the passage that answers, or the words of the query and those around them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import click

from sidecar.cli.output import excerpt
from sidecar.values.documents import Json
from sidecar.values.passages import Passage, PassageAnswer
from sidecar.values.search import Hit

WIDTH = 72
_WORD = re.compile(r"\w+")
_SHORTEST_STEM = 4  # letters that a word has in common with its other forms
_ENDING = 3  # letters
_MOST_ANSWERS = 8


def snippet(hit: Hit, query: str, width: int = WIDTH) -> str:
    """One line: of the best passage around its best answer, else of the document around the query's words."""
    if not hit.passages:
        return around(text_of(hit.source), _matches(text_of(hit.source), query), width)
    passage = hit.passages[0]
    spans = [(answer.start - passage.start, answer.end - passage.start) for answer in good(passage.answers)]
    return around(passage.text, spans, width)


def text_of(source: Json) -> str:
    """A document's words for an excerpt, its title first."""
    ordered = sorted(source.items(), key=lambda field: field[0] != "title")
    return " ".join(value for _, value in ordered if isinstance(value, str))


def around(text: str, spans: Sequence[tuple[int, int]], width: int = WIDTH) -> str:
    """The part of a text that holds most of some places in it; its first words where there are none.

    >>> around("one two three four five six seven eight", [(24, 27)], 15)
    '…five six…'
    >>> around("one two three four", [(0, 3)], 9), around("one  two", [(5, 8)], 9)
    ('one two…', 'one two')
    """
    if len(" ".join(text.split())) <= width or not spans:
        return excerpt(text, width)
    places = sorted(spans)
    # As many words in sight as can be, and if the beginning of the text has as many, its beginning.
    runs = [[place for place in places[first:] if place[1] <= places[first][0] + width] for first in range(len(places))]
    opening = [place for place in places if place[1] < width]
    best = max([opening, *runs], key=lambda run: len({text[slice(*place)].lower() for place in run}))
    if best == opening:
        return excerpt(text, width)
    first, last = best[0][0], best[-1][1]
    # Words on both sides of what was found, whole ones.
    start = max(0, min(first, first - (width - (last - first)) // 2))
    while 0 < start < first and not text[start - 1].isspace():
        start += 1
    return "…" + excerpt(text[start:], width - 1)


def _matches(text: str, query: str) -> list[tuple[int, int]]:
    """Places of words that the query has, in this form or another; short ones only where it has no others."""
    asked = {word.lower() for word in _WORD.findall(query)}
    wanted = {word for word in asked if len(word) >= _SHORTEST_STEM} or asked
    return [match.span() for match in _WORD.finditer(text) if any(_is_form(match[0].lower(), one) for one in wanted)]


def _is_form(word: str, of: str) -> bool:
    """Whether two words differ by no more than an ending.

    >>> _is_form("remembers", "remember"), _is_form("studies", "study"), _is_form("the", "them")
    (True, True, False)
    """
    same = next((i for i, (a, b) in enumerate(zip(word, of, strict=False)) if a != b), min(len(word), len(of)))
    return word == of or (same >= _SHORTEST_STEM and max(len(word), len(of)) - same <= _ENDING)


def good(answers: Sequence[PassageAnswer]) -> list[PassageAnswer]:
    """Answers that are no worse than the mean of all: what a reader should look at."""
    mean = sum(answer.similarity for answer in answers) / max(1, len(answers))
    return [answer for answer in answers if answer.similarity >= mean - 1e-6]


def passage_lines(hit: Hit) -> Iterator[str]:
    """Each passage with its place, its good answers in bold, and below it which token of the query each answers."""
    for passage in hit.passages:
        field = f"{passage.field}[{passage.element}]" if passage.element else passage.field
        yield f"{hit.rank}. {hit.id}, {field} {passage.start}–{passage.end}: {_marked(passage)}"
        best = sorted(good(passage.answers), key=lambda answer: -answer.similarity)[:_MOST_ANSWERS]
        pairs = [f"{answer.query_token} → {_word_at(passage, answer)} {answer.similarity:.2f}" for answer in best]
        if pairs:
            yield f"   {', '.join(pairs)}"


def _marked(passage: Passage) -> str:
    pieces, end = [], 0
    for start, stop in sorted({_word_span(passage, answer) for answer in good(passage.answers)}):
        if start >= end:
            pieces += [passage.text[end:start], click.style(passage.text[start:stop], bold=True)]
            end = stop
    return " ".join("".join([*pieces, passage.text[end:]]).split())


def _word_at(passage: Passage, answer: PassageAnswer) -> str:
    return passage.text[slice(*_word_span(passage, answer))]


def _word_span(passage: Passage, answer: PassageAnswer) -> tuple[int, int]:
    """The word that a token is a part of, within the passage's text."""
    start, end = answer.start - passage.start, answer.end - passage.start
    found = (match.span() for match in _WORD.finditer(passage.text) if match.start() <= start and end <= match.end())
    return next(found, (start, end))
