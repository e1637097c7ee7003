"""Search by text, and pipelines: ``retriever | retriever``, ``&``, ``+ ranker``, ``+ documents``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, Self, overload

from cherche_models.retrieve.encoder import BATCH
from cherche_models.utils.documents import Document, Filter, Key, Result, id_of

RRF = 60
"""Rank constant of Cormack et al. 2009."""
WINDOW = 100
"""Minimum candidates of a stage that another stage fuses or reranks."""


class AddsDocuments(Protocol):
    """A part of a pipeline that stores documents."""

    def add_documents(self, documents: Iterable[Document], batch_size: int = ..., tqdm_bar: bool = ...) -> object:
        """Encode and store documents."""


class RanksCandidates(AddsDocuments, Protocol):
    """A ranker in a pipeline."""

    @property
    def key(self) -> str:
        """Field of a document's id."""

    def rank(self, queries: list[str], candidates: list[list[Result]], k: int | None = None) -> list[list[Result]]:
        """Reorder the candidates of each query."""


class Searcher(ABC):
    """Finds documents for query texts: a retriever or a pipeline."""

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
            Maximum documents for each query; None for all that match.
        filters : callable or collection of ids, optional
            Restricts the search to ids that it accepts or contains.

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
        """One list of results for each query."""

    def _parts(self) -> list[AddsDocuments]:
        """Retrievers and rankers that store documents."""
        return [self]

    def __or__(self, other: Searcher) -> Searcher:
        """Union of the results, fused by reciprocal ranks."""
        return Fusion([*self._members(Fusion), *other._members(Fusion)])

    def __mul__(self, other: Searcher) -> Searcher:
        """The same as ``|``."""
        return self | other

    def __and__(self, other: Searcher) -> Searcher:
        """Intersection of the results, fused by reciprocal ranks."""
        return Intersection([*self._members(Intersection), *other._members(Intersection)])

    def __add__(self, other: RanksCandidates | Sequence[Document]) -> Searcher:
        """Rerank the results by a ranker, or add the fields of the documents to them."""
        return WithDocuments(self, other) if isinstance(other, Sequence) else Reranked(self, other)

    def _members(self, kind: type[Combined]) -> list[Searcher]:
        return [self]


class Combined(Searcher):
    """A pipeline of other searchers."""

    def __init__(self, members: Sequence[Searcher]) -> None:
        if len(keys := {member.key for member in members}) > 1:
            raise ValueError(f"the searchers have different keys ({', '.join(sorted(keys))}): use the same key")
        self.members = list(members)
        self.key = members[0].key

    def add_documents(self, documents: Iterable[Document], batch_size: int = BATCH, tqdm_bar: bool = True) -> Self:
        """Encode documents and add them to every index and ranker of the pipeline, once each."""
        found = list(documents)
        for part in {id(part): part for part in self._parts()}.values():
            part.add_documents(found, batch_size, tqdm_bar)
        return self

    def _parts(self) -> list[AddsDocuments]:
        return [part for member in self.members for part in member._parts()]

    def _members(self, kind: type[Combined]) -> list[Searcher]:
        return self.members if type(self) is kind else [self]


class Fusion(Combined):
    """Union by reciprocal rank fusion.

    Cormack et al. 2009, "Reciprocal Rank Fusion outperforms Condorcet and individual
    Rank Learning Methods": ``sum over members of 1 / (60 + rank)``, ranks from 1 in
    each member's own list.
    """

    in_all = False

    def __repr__(self) -> str:
        return f"({(' & ' if self.in_all else ' | ').join(map(repr, self.members))})"

    def _search(self, queries: list[str], k: int | None, filters: Filter | None) -> list[list[Result]]:
        depth = None if k is None else max(k, WINDOW)
        found = [member._search(queries, depth, filters) for member in self.members]
        return [self._fused(lists)[:k] for lists in zip(*found, strict=True)]

    def _fused(self, lists: Sequence[list[Result]]) -> list[Result]:
        ids = [[result[self.key] for result in results] for results in lists]
        known = {result[self.key]: result for results in reversed(lists) for result in reversed(results)}
        scores = reciprocal_ranks(ids)
        if self.in_all:
            scores = {key: score for key, score in scores.items() if all(key in members for members in map(set, ids))}
        order = sorted(scores, key=lambda key: -scores[key])
        return [{**known[key], "similarity": scores[key]} for key in order]


class Intersection(Fusion):
    """Intersection by reciprocal rank fusion: only documents that every member finds."""

    in_all = True


class Reranked(Combined):
    """A first stage and a ranker of its best results."""

    def __init__(self, first: Searcher, ranker: RanksCandidates) -> None:
        super().__init__([first])
        self.ranker = ranker

    def __repr__(self) -> str:
        return f"{self.members[0]!r} + {self.ranker!r}"

    def _search(self, queries: list[str], k: int | None, filters: Filter | None) -> list[list[Result]]:
        depth = None if k is None else max(k, WINDOW)
        return self.ranker.rank(queries, self.members[0]._search(queries, depth, filters), k)

    def _parts(self) -> list[AddsDocuments]:
        return [*super()._parts(), self.ranker]


class WithDocuments(Combined):
    """Adds all fields of the documents to the results.

    Raises
    ------
    KeyError
        From `search`, if a result is not among the given documents.
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
            raise KeyError(f"the result {key!r} is not among the documents of the pipeline: add it to them")
        return self.documents[key]


def reciprocal_ranks(rankings: Iterable[Sequence[Key]]) -> dict[Key, float]:
    """Fused scores of the documents of several rankings, in the order of first occurrence.

    >>> {key: round(score, 6) for key, score in reciprocal_ranks([["a", "b"], ["b"]]).items()}
    {'a': 0.016393, 'b': 0.032522}
    """
    scores: dict[Key, float] = {}
    for ranking in rankings:
        for rank, key in enumerate(ranking, 1):
            scores[key] = scores.get(key, 0.0) + 1 / (RRF + rank)
    return scores
