"""Plain text: words, sentences, passages at paragraph borders, and fingerprints for duplicates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

SHORTEST, LONGEST, USUAL = 8, 300, 180
"""Words of a passage: at least, at most, and after how many a new one begins."""
_KEY = 100
_WORD = re.compile(r"\w+(?:['’]\w+)?")
_BORDER = re.compile(r"(?<=[.!?])[\"')\]]?\s+(?=[A-Z\"'(\[`])")
_ABBREVIATED = re.compile(r"\b(?:e\.g|i\.e|etc|cf|vs|resp|approx|al|Dr|Mr|Mrs|St|No|Fig|Vol|[A-Z])\.$")
_SPACE = re.compile(r"\s+")
_MARKUP = re.compile(r"[^\w\s.,;:!?'\"()\-/]")
_STOP_TEXT = """
a an and are as at be but by can do does for from had has have how if in into is it its may no not of on or should
so such than that the their then there these they this to was were what when where which will with you your
"""
STOP = frozenset(_STOP_TEXT.split())


def one_line(text: str) -> str:
    r"""The text with each run of whitespace as one space.

    >>> one_line(" a\n  b ")
    'a b'
    """
    return _SPACE.sub(" ", text).strip()


def words(text: str) -> list[str]:
    """Lower-case words.

    >>> words("Don't panic: 42 ducks")
    ["don't", 'panic', '42', 'ducks']
    """
    return _WORD.findall(text.lower())


def fingerprint(text: str) -> str:
    """The first 100 characters of the words alone: equal for near duplicates that begin alike.

    >>> fingerprint("The  Duck, it swims!")
    'the duck it swims'
    """
    return " ".join(words(text[: 4 * _KEY]))[:_KEY]


def sentences(text: str) -> list[str]:
    """Sentences, split where a capital follows a full stop that ends no common abbreviation.

    >>> sentences("Ducks swim, e.g. Daffy. Geese fly! (Not all do.)")
    ['Ducks swim, e.g. Daffy.', 'Geese fly!', '(Not all do.)']
    """
    found: list[str] = []
    start = 0
    for end, begin in _borders(text):
        found.append(text[start:end])
        start = begin
    return [*found, text[start:]] if text[start:] else found


def lead(text: str) -> tuple[str, str]:
    """The first sentence, and the rest.

    >>> lead("Ducks swim. Geese fly. Swans sing."), lead("Ducks swim")
    (('Ducks swim.', 'Geese fly. Swans sing.'), ('Ducks swim', ''))
    """
    end, begin = next(_borders(text), (len(text), len(text)))
    return text[:end], text[begin:]


def _borders(text: str) -> Iterator[tuple[int, int]]:
    """Ends of sentences, each with the start of the next one."""
    for border in _BORDER.finditer(text):
        if not _ABBREVIATED.search(text[max(0, border.start() - 8) : border.start()]):
            yield border.start() + len(border.group().rstrip()), border.end()


def passages(paragraphs: Iterable[str]) -> Iterator[str]:
    """Paragraphs joined into passages of about `USUAL` words; one of more than `LONGEST` is cut between sentences.

    A last passage under `SHORTEST` words is appended to the one before it, or dropped if there is none.
    """
    made: list[str] = []
    current: list[str] = []
    size = 0
    for piece in _pieces(paragraphs):
        count = len(piece.split())
        if current and size + count > USUAL:
            made.append(" ".join(current))
            current, size = [], 0
        current.append(piece)
        size += count
    if current:
        last = " ".join(current)
        if size >= SHORTEST:
            made.append(last)
        elif made:
            made[-1] = f"{made[-1]} {last}"
    yield from (text for text in made if len(text.split()) >= SHORTEST)


def _pieces(paragraphs: Iterable[str]) -> Iterator[str]:
    for paragraph in paragraphs:
        line = one_line(paragraph)
        if len(line.split()) <= USUAL:
            if line:
                yield line
            continue
        for sentence in sentences(line):
            tokens = sentence.split()
            for start in range(0, len(tokens), USUAL):
                yield " ".join(tokens[start : start + USUAL])


def is_prose(text: str) -> bool:
    """Whether a text reads as English rather than as code, a table or another language.

    >>> is_prose("Return the name of the user who owns the file."), is_prose("x = f(y); 0x3f | 0x22 << 4 {[]}")
    (True, False)
    >>> is_prose("Die Datei wird vom Benutzer gelesen und danach geschlossen.")
    False
    """
    tokens = words(text)
    if not tokens or len(_MARKUP.findall(text)) > 0.06 * len(text):
        return False
    letters = sum(character.isascii() and character.isalpha() for character in text)
    if letters < 0.65 * len(text):
        return False
    return sum(token in STOP for token in tokens) >= max(1, 0.12 * len(tokens))
