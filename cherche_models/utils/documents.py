"""Documents as plain dictionaries: their ids, their texts, and queries that may repeat."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

Key = str | int
Document = Mapping[str, Any]
Result = dict[str, Any]
Filter = Callable[[Key], bool] | Collection[Key]

E = TypeVar("E")


class Queries(dict[str, E]):
    """Encoded queries by text, which still know how often and in which order they were asked.

    Attributes
    ----------
    asked : tuple of str
        Every query as it came, repeated ones too: each gets a result of its own.
    """

    def __init__(self, encoded: Mapping[str, E], asked: Sequence[str]) -> None:
        super().__init__(encoded)
        self.asked = tuple(asked)

    def __reduce__(self) -> tuple[type[Queries[E]], tuple[dict[str, E], tuple[str, ...]]]:
        return type(self), (dict(self), self.asked)


def in_order(queries: Mapping[str, E]) -> list[E]:
    """One encoding for each query that was asked; a plain mapping asks each of its own once.

    >>> in_order(Queries({"a": 1, "b": 2}, ["a", "b", "a"])), in_order({"a": 1, "b": 2})
    ([1, 2, 1], [1, 2])
    """
    return [queries[text] for text in (queries.asked if isinstance(queries, Queries) else queries)]


def text_of(document: Document, on: Sequence[str]) -> str:
    """Fields of a document, joined by one space; a missing or empty one leaves no space.

    >>> text_of({"title": "Ducks", "body": None, "text": "They swim."}, ["title", "body", "text"])
    'Ducks They swim.'
    """
    return " ".join(str(document[field]) for field in on if document.get(field) not in (None, ""))


def one_by_one(documents: Iterable[Document] | Iterable[Sequence[Document]], key: str) -> list[Document]:
    """Documents as they come; of lists of candidates each document once.

    >>> one_by_one([[{"id": 1}, {"id": 2}], [{"id": 1}]], "id")
    [{'id': 1}, {'id': 2}]
    """
    found: list[Document] = []
    listed: dict[Any, Document] = {}
    for item in documents:
        if isinstance(item, Mapping):
            found.append(item)
        else:
            for document in item:
                listed.setdefault(document.get(key), document)
    return [*found, *listed.values()]


def duplicates_queries_warning(repeated: int = 1) -> None:
    """Warn that queries are repeated."""
    warnings.warn(f"{repeated} queries are repeated: encoded once, answered each", stacklevel=3)


def texts_by_id(documents: Iterable[Document], key: str, on: Sequence[str]) -> dict[Key, str]:
    """Text of each document.

    Raises
    ------
    ValueError
        If a document has no id, or one that another document of the list has.
    TypeError
        If an id is neither text nor a whole number.

    >>> texts_by_id([{"id": 7, "text": "ducks"}], "id", ["text"])
    {7: 'ducks'}
    """
    texts: dict[Key, str] = {}
    for position, document in enumerate(documents):
        found = id_of(document, key, position)
        if found in texts:
            raise ValueError(f"document {position}: the {key} {found!r} is there twice")
        texts[found] = text_of(document, on)
    return texts


def id_of(document: Document, key: str, position: int) -> Key:
    """Id of a document; raises as `texts_by_id` does."""
    found = document.get(key)
    if found is None:
        raise ValueError(f"document {position} has no {key!r}: name the field that holds the id")
    if not isinstance(found, str | int) or isinstance(found, bool):
        raise TypeError(f"document {position}: the {key} {found!r} is neither text nor a whole number")
    return found


def fields(on: str | Sequence[str]) -> tuple[str, ...]:
    """Names of the fields that hold the text.

    Raises
    ------
    ValueError
        If there is none.

    >>> fields("text"), fields(["title", "text"])
    (('text',), ('title', 'text'))
    """
    names = (on,) if isinstance(on, str) else tuple(on)
    if not names:
        raise ValueError("on names no field: name those that hold the text")
    return names
