"""One line of training data: what it may hold, and what is wrong with it where it holds something else."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cherche_models.errors import DataError

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
        Hard ones; a trainer draws from them.
    answers : tuple of str
        Further texts known to answer the query: never used against it.
    source : str
        Where it comes from; batches are mixed by source.
    scores : tuple of float
        A teacher's score of the positive, then of each negative; empty where there is no teacher.

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


def parse(line: bytes | str, where: str) -> Example:
    """The example of one line of JSON.

    Raises
    ------
    DataError
        If it is none.
    """
    return example(loaded(line, where), where)


def loaded(line: bytes | str, where: str) -> object:
    """What a line of JSON holds.

    Raises
    ------
    DataError
        If it is no JSON.
    """
    try:
        return json.loads(line)
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError alike
        raise DataError(where, f"not JSON in UTF-8 ({error})", "write one JSON object a line") from error


def example(row: object, where: str) -> Example:
    """The example of an object: a triple, a query with any number of negatives, with scores or without.

    ``query`` (or ``anchor``) and ``positive`` are texts; ``negative``, ``negative_1``, … texts or
    ``negatives`` a list of them; ``answers`` further texts that answer; ``scores`` a number for the
    positive and one for each negative; ``source`` a name. Other keys are ignored: see `ignored`.

    Parameters
    ----------
    row : object
        As JSON gives it.
    where : str
        What an error calls it: file and line.

    Raises
    ------
    DataError
        Naming the field that is missing or wrong.

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
    """Keys of an object that no example has.

    >>> ignored({"query": "q", "id": 3, "negative_1": "n"})
    {'id'}
    """
    return {str(name) for name in row if not _is_known(str(name))} if isinstance(row, Mapping) else set()


def _is_known(name: str) -> bool:
    return name in KNOWN or _NUMBERED.fullmatch(name) is not None


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
        raise DataError(where, f"{name} holds half of a broken character ({error.reason})", "replace it") from error
    return value


def _scores(value: object, negatives: int, where: str) -> tuple[float, ...]:
    if value is None or value == []:
        return ()
    if not isinstance(value, list | tuple) or not all(_is_number(score) for score in value):
        raise DataError(where, '"scores" is no list of finite numbers', "give a number for each text")
    if len(value) != 1 + negatives:
        raise DataError(
            where,
            f"{len(value)} scores for 1 positive and {negatives} negatives",
            "give the positive's first, then one for each negative",
        )
    return tuple(float(score) for score in value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _kind(value: object) -> str:
    names = {type(None): "null", bool: "boolean", int: "number", float: "number", str: "string", list: "list"}
    return names.get(type(value), "object")
