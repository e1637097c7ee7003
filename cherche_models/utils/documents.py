"""Documents as dictionaries: their ids and texts; and encoded queries, which may be repeated."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any, TypeVar

from cherche_models.errors import ItemError
from cherche_models.texts import joined

Key = str | int
Document = Mapping[str, Any]
Result = dict[str, Any]
Filter = Callable[[Key], bool] | Collection[Key]

E = TypeVar("E")


class Queries(dict[str, E]):
    """Encodings by query text, with the original list of queries.

    Attributes
    ----------
    texts : tuple of str
        All queries in their original order, including repeated ones; each gets its own list of results.
    """

    def __init__(self, encoded: Mapping[str, E], texts: Sequence[str]) -> None:
        super().__init__(encoded)
        self.texts = tuple(texts)

    def __reduce__(self) -> tuple[type[Queries[E]], tuple[dict[str, E], tuple[str, ...]]]:
        return type(self), (dict(self), self.texts)


def in_order(queries: Mapping[str, E]) -> list[E]:
    """One encoding for each query in the original order; the keys of a plain mapping are taken once each.

    >>> in_order(Queries({"a": 1, "b": 2}, ["a", "b", "a"])), in_order({"a": 1, "b": 2})
    ([1, 2, 1], [1, 2])
    """
    return [queries[text] for text in (queries.texts if isinstance(queries, Queries) else queries)]


def flattened(documents: Iterable[Document] | Iterable[Sequence[Document]], key: str) -> list[Document]:
    """Documents in order; for lists of candidates each distinct document once.

    Raises
    ------
    ItemError
        If one is neither a mapping nor a list of them.

    >>> flattened([[{"id": 1}, {"id": 2}], [{"id": 1}]], "id")
    [{'id': 1}, {'id': 2}]
    """
    found: list[Document] = []
    listed: dict[Any, Document] = {}
    items: Iterable[Document | Sequence[Document]] = documents
    for position, item in enumerate(items):
        if isinstance(item, Mapping):
            found.append(item)
            continue
        given: object = item
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise ItemError(position, f"belongs to no document but to the type {type(given).__name__}: give dicts")
        for document in item:
            listed.setdefault(document.get(key), document)
    return [*found, *listed.values()]


def duplicates_queries_warning(repeated: int = 1) -> None:
    """Warn that queries are repeated."""
    warnings.warn(f"{repeated} queries are repeated: each distinct query is encoded once", stacklevel=3)


def texts_by_id(documents: Iterable[Document], key: str, on: Sequence[str]) -> dict[Key, str]:
    """The text of each document by id.

    Raises
    ------
    ValueError
        If a document has no id, an id is repeated, or a field holds anything but a string (`ItemError`).
    TypeError
        If an id is neither a string nor an integer.

    >>> texts_by_id([{"id": 7, "text": "ducks"}], "id", ["text"])
    {7: 'ducks'}
    """
    texts: dict[Key, str] = {}
    for position, document in enumerate(documents):
        found = id_of(document, key, position)
        if found in texts:
            raise ValueError(f"document {position}: the {key} {found!r} is repeated")
        texts[found] = joined(document, on, position)
    return texts


def id_of(document: Document, key: str, position: int) -> Key:
    """Id of a document; raises as `texts_by_id` does."""
    found = document.get(key)
    if found is None:
        raise ValueError(f"document {position} has no {key!r}: pass the name of the id field as key")
    if isinstance(found, str):
        return str(found)
    if isinstance(found, bool) or not isinstance(found, Integral):
        raise TypeError(f"document {position}: the {key} {found!r} is neither a string nor an integer")
    return int(found)  # of numpy's integers too, which JSON refuses


def fields(on: str | Sequence[str]) -> tuple[str, ...]:
    """Names of the text fields as a tuple.

    Raises
    ------
    ValueError
        If there are none.

    >>> fields("text"), fields(["title", "text"])
    (('text',), ('title', 'text'))
    """
    names = (on,) if isinstance(on, str) else tuple(on)
    if not names:
        raise ValueError("on is empty: give the names of the text fields")
    return names
