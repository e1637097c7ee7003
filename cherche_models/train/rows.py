"""The format of a row of training data, and its validation."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cherche_models.errors import DataError
from cherche_models.evaluate import formats

QUERY = ("query", "anchor")
KNOWN = frozenset({*QUERY, "positive", "negative", "negatives", "answers", "scores", "source"})
_NUMBERED = re.compile(r"negative_(\d+)")


@dataclass(frozen=True, slots=True)
class Example:
    """One query and its candidates, all as text.

    Attributes
    ----------
    query, positive : str
    negatives : tuple of str
        Hard negatives, from which training samples.
    answers : tuple of str
        Further relevant texts, never used as negatives of the query.
    source : str
        Origin; batches are mixed by source.
    scores : tuple of float
        A teacher's score of the positive, then of each negative; empty without a teacher.

    Raises
    ------
    ValueError
        If there are scores, but not one for each candidate.
    """

    query: str
    positive: str
    negatives: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    source: str = ""
    scores: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.scores and len(self.scores) != 1 + len(self.negatives):
            raise ValueError(f"{len(self.scores)} scores for 1 positive and {len(self.negatives)} negatives")


def check_format(path: Path) -> None:
    """Refuse a file of another format than JSON Lines.

    Raises
    ------
    DataError
        Naming the format and the way out.
    OSError
        If the file cannot be read.
    """
    with path.open("rb") as file:
        other = formats.of_lines(file.read(formats.START))
    if other:
        raise DataError(str(path), f"is {other.name}, not JSON Lines", other.next_step)


def parse(line: bytes | str, where: str) -> Example:
    """The example of one line of JSON.

    Raises
    ------
    DataError
        If the line is not a valid example.
    """
    return example(loaded(line, where), where)


def loaded(line: bytes | str, where: str) -> object:
    """The value of one line of JSON.

    Raises
    ------
    DataError
        If the line is not JSON in UTF-8.
    """
    try:
        return json.loads(line, object_pairs_hook=formats.once)
    except ValueError as error:  # JSONDecodeError or UnicodeDecodeError
        raise DataError(where, f"not JSON in UTF-8 ({error})", "write one JSON object per line") from error


def example(row: object, where: str) -> Example:
    """The example of a JSON object: a query, a positive and any number of negatives, with or without scores.

    ``query`` (or ``anchor``) and ``positive`` are texts; ``negative``, ``negative_1``, … texts or
    ``negatives`` a list of them; ``answers`` further relevant texts; ``scores`` a number for the
    positive and one for each negative; ``source`` a name. Other keys are ignored: see `ignored`.

    Parameters
    ----------
    row : object
        Parsed JSON.
    where : str
        File and line, for errors.

    Raises
    ------
    DataError
        Naming the field that is missing or invalid.

    >>> example({"anchor": "q", "positive": "p", "negative_1": "m", "negative_2": "n"}, "here").negatives
    ('m', 'n')
    """
    if not isinstance(row, Mapping):
        raise DataError(where, f"a JSON {_kind(row)}, not an object", 'write {"query": …, "positive": …}')
    query = next((name for name in QUERY if name in row), "query")
    source = row.get("source") or ""
    if not isinstance(source, str):
        raise DataError(where, f'"source" is a {_kind(source)}', "give the name of the source, or leave it out")
    negatives = tuple(_negatives(row, where))
    return Example(
        _text(row.get(query), f'"{query}"', where),
        _text(row.get("positive"), '"positive"', where),
        negatives,
        tuple(_list(row, "answers", where)),
        source,
        _scores(row.get("scores"), len(negatives), where),
    )


def ignored(row: object) -> set[str]:
    """Keys of a row that are not part of the format.

    >>> ignored({"query": "q", "id": 3, "negative_1": "n"})
    {'id'}
    """
    if not isinstance(row, Mapping):
        return set()
    return {name for name in map(str, row) if name not in KNOWN and not _NUMBERED.fullmatch(name)}


def _negatives(row: Mapping[str, object], where: str) -> Iterator[str]:
    if row.get("negative") is not None:
        yield _text(row["negative"], '"negative"', where)
    numbered = sorted((int(found[1]), name) for name in row if (found := _NUMBERED.fullmatch(name)))
    for _, name in numbered:
        yield _text(row[name], f'"{name}"', where)
    yield from _list(row, "negatives", where)


def _list(row: Mapping[str, object], name: str, where: str) -> Iterator[str]:
    texts = row.get(name)
    if texts is None:
        return
    if not isinstance(texts, list | tuple):
        raise DataError(where, f'"{name}" is a {_kind(texts)}', "give a list of texts")
    for number, text in enumerate(texts, 1):
        yield _text(text, f'number {number} of "{name}"', where)


def _text(value: object, name: str, where: str) -> str:
    if not isinstance(value, str):
        reason = f"{name} has no text" if value is None else f"{name} is a {_kind(value)}"
        raise DataError(where, reason, f"give {name} a text, or drop the line")
    if not value.strip():
        raise DataError(where, f"{name} is empty", f"give {name} a text, or drop the line")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(where, f"{name} contains a lone surrogate ({error.reason})", "replace the character") from error
    return value


def _scores(value: object, negatives: int, where: str) -> tuple[float, ...]:
    if value is None or value == []:
        return ()
    if not isinstance(value, list | tuple) or not all(_is_number(score) for score in value):
        raise DataError(where, '"scores" is not a list of finite numbers', "give a number for each text")
    if len(value) != 1 + negatives:
        raise DataError(
            where,
            f"{len(value)} scores for 1 positive and {negatives} negatives",
            "give the score of the positive, then one for each negative",
        )
    return tuple(float(score) for score in value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _kind(value: object) -> str:
    names = {type(None): "null", bool: "boolean", int: "number", float: "number", str: "string", list: "list"}
    return names.get(type(value), "object")
