"""Searchers of raw text, and how they combine: ``retriever | retriever``, ``&``, ``+ ranker``, ``+ documents``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, Self, overload

from cherche_models.retrieve.encoder import BATCH
from cherche_models.utils.documents import Document, Filter, Key, Result, id_of

RRF = 60
"""Rank constant of Cormack et al. 2009."""
WINDOW = 100
"""Candidates that a stage hands on, where fewer are asked for at the end."""


class Adds(Protocol):
    """What wants to see the documents."""

    def add_documents(self, documents: Iterable[Document], batch_size: int = ..., tqdm_bar: bool = ...) -> object:
        """Encode documents and keep them."""


class Ranks(Adds, Protocol):
    """What a pipeline asks of a ranker."""

    @property
    def key(self) -> str:
        """Field that holds a document's id."""

    def rank(self, queries: list[str], candidates: list[list[Result]], k: int | None = None) -> list[list[Result]]:
        """Candidates of each query in a better order."""


class Searcher(ABC):
    """Whatever finds documents for a text."""

    key: str

    @overload
    def search(self, q: str, k: int | None = ..., filters: Filter | None = ...) -> list[Result]: ...

    @overload
    def search(self, q: list[str], k: int | None = ..., filters: Filter | None = ...) -> list[list[Result]]: ...

    def search(
        self, q: str | list[str], k: int | None = None, filters: Filter | None = None
    ) -> list[Result] | list[list[Result]]:
        """Search by text.

        Parameters
        ----------
        q : str or list of str
        k : int or None
            Most documents for each query; None for all that match.
        filters : callable or collection of ids, optional
            Only documents whose id it accepts or holds.

        Returns
        -------
        list of dict for one query, list of such lists for several
            The id under `key` and ``similarity``, best first. Empty without a match.

        Raises
        ------
        ValueError
            If `k` is below 1.
        """
        if k is not None and k < 1:
            raise ValueError(f"k {k} is below 1")
        return self._search([q], k, filters)[0] if isinstance(q, str) else self._search(q, k, filters)

    @abstractmethod
    def add_documents(self, documents: Iterable[Document], batch_size: int = BATCH, tqdm_bar: bool = True) -> Self:
        """Encode documents and add them to every index and ranker of the pipeline, once each."""

    @abstractmethod
    def _search(self, queries: list[str], k: int | None, filters: Filter | None) -> list[list[Result]]:
        """One list for each query."""

    def _parts(self) -> list[Adds]:
        """Retrievers and rankers that want the documents."""
        return [self]

    def __or__(self, other: Searcher) -> Searcher:
        """Documents that either finds, fused by reciprocal ranks."""
        return Fusion([*self._members(Fusion), *other._members(Fusion)])

    def __mul__(self, other: Searcher) -> Searcher:
        """As ``|``: the votes of both, which are reciprocal ranks."""
        return self | other

    def __and__(self, other: Searcher) -> Searcher:
        """Documents that both find, fused by reciprocal ranks."""
        return Intersection([*self._members(Intersection), *other._members(Intersection)])

    def __add__(self, other: Ranks | Sequence[Document]) -> Searcher:
        """The found documents in a ranker's order, or with their other fields."""
        return Filled(self, other) if isinstance(other, Sequence) else Reranked(self, other)

    def _members(self, kind: type[Combined]) -> list[Searcher]:
        return [self]


class Combined(Searcher):
    """A searcher made of others."""

    def __init__(self, members: Sequence[Searcher]) -> None:
        if len(keys := {member.key for member in members}) > 1:
            raise ValueError(f"these name a document's id differently ({', '.join(sorted(keys))}): use one key")
        self.members = list(members)
        self.key = members[0].key

    def add_documents(self, documents: Iterable[Document], batch_size: int = BATCH, tqdm_bar: bool = True) -> Self:
        """Encode documents and add them to every index and ranker of the pipeline, once each."""
        found = list(documents)
        for part in {id(part): part for part in self._parts()}.values():
            part.add_documents(found, batch_size, tqdm_bar)
        return self

    def _parts(self) -> list[Adds]:
        return [part for member in self.members for part in member._parts()]

    def _members(self, kind: type[Combined]) -> list[Searcher]:
        return self.members if type(self) is kind else [self]


class Fusion(Combined):
    """Union by reciprocal rank fusion.

    Cormack et al. 2009, "Reciprocal Rank Fusion outperforms Condorcet and individual
    Rank Learning Methods": ``sum over members of 1 / (60 + rank)``, ranks from 1 in
    each member's own list.
    """

    every = False

    def __repr__(self) -> str:
        return f"({(' & ' if self.every else ' | ').join(map(repr, self.members))})"

    def _search(self, queries: list[str], k: int | None, filters: Filter | None) -> list[list[Result]]:
        depth = None if k is None else max(k, WINDOW)
        found = [member._search(queries, depth, filters) for member in self.members]
        return [self._fused(lists)[:k] for lists in zip(*found, strict=True)]

    def _fused(self, lists: Sequence[list[Result]]) -> list[Result]:
        ids = [[result[self.key] for result in results] for results in lists]
        known = {result[self.key]: result for results in reversed(lists) for result in reversed(results)}
        scores = reciprocal_ranks(ids)
        if self.every:
            scores = {key: score for key, score in scores.items() if all(key in members for members in map(set, ids))}
        order = sorted(scores, key=lambda key: -scores[key])
        return [{**known[key], "similarity": scores[key]} for key in order]


class Intersection(Fusion):
    """The same of the documents that every member finds."""

    every = True


class Reranked(Combined):
    """A first stage and a ranker over its best."""

    def __init__(self, first: Searcher, ranker: Ranks) -> None:
        super().__init__([first])
        self.ranker = ranker

    def __repr__(self) -> str:
        return f"{self.members[0]!r} + {self.ranker!r}"

    def _search(self, queries: list[str], k: int | None, filters: Filter | None) -> list[list[Result]]:
        depth = None if k is None else max(k, WINDOW)
        return self.ranker.rank(queries, self.members[0]._search(queries, depth, filters), k)

    def _parts(self) -> list[Adds]:
        return [*super()._parts(), self.ranker]


class Filled(Combined):
    """Results with all fields of their documents.

    Raises
    ------
    KeyError
        At search, if a document is found that is not among those given.
    """

    def __init__(self, first: Searcher, documents: Sequence[Document]) -> None:
        super().__init__([first])
        self.documents: Mapping[Key, Document] = {id_of(d, first.key, i): d for i, d in enumerate(documents)}

    def __repr__(self) -> str:
        return f"{self.members[0]!r} + {len(self.documents)} documents"

    def _search(self, queries: list[str], k: int | None, filters: Filter | None) -> list[list[Result]]:
        found = self.members[0]._search(queries, k, filters)
        return [[{**self._document(result[self.key]), **result} for result in results] for results in found]

    def _document(self, key: Key) -> Document:
        if key not in self.documents:
            raise KeyError(f"the document {key!r} was found, but is not among those added to the pipeline")
        return self.documents[key]


def reciprocal_ranks(rankings: Iterable[Sequence[Key]]) -> dict[Key, float]:
    """Reciprocal rank fusion of rankings, in the order documents are first seen.

    >>> {key: round(score, 6) for key, score in reciprocal_ranks([["a", "b"], ["b"]]).items()}
    {'a': 0.016393, 'b': 0.032522}
    """
    scores: dict[Key, float] = {}
    for ranking in rankings:
        for rank, key in enumerate(ranking, 1):
            scores[key] = scores.get(key, 0.0) + 1 / (RRF + rank)
    return scores
