"""The base of all retrievers: a mutable in-memory index, filters and top-k selection."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from cherche_models.retrieve import store
from cherche_models.retrieve.encoder import BATCH, Encoder, ModelEncoder
from cherche_models.retrieve.pipeline import Searcher
from cherche_models.utils.batches import batchify
from cherche_models.utils.documents import Document, Filter, Key, Result, in_order

E = TypeVar("E")

Scored = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Positions of documents in the index, increasing, and their scores."""


class Retriever(Encoder[E], Searcher):
    """An index of encoded documents with exhaustive search.

    Holds ids and embeddings, not the documents. Not thread-safe: do not modify it
    while another thread searches.
    """

    kind: str

    def __init__(self, key: str, on: str | Sequence[str]) -> None:
        super().__init__(key, on)
        self._documents: dict[Key, E] = {}
        self._ids: list[Key] = []
        self._stale = False

    def __len__(self) -> int:
        return len(self._documents)

    def __contains__(self, key: object) -> bool:
        return key in self._documents

    def __repr__(self) -> str:
        return f"{type(self).__name__}(key={self.key!r}, on={self.on!r}, documents={len(self)})"

    @property
    def ids(self) -> list[Key]:
        """Ids of the documents in insertion order."""
        return list(self._documents)

    def add(self, documents_embeddings: Mapping[Key, E]) -> Self:
        """Add documents; documents with the same id are replaced."""
        self._documents.update(documents_embeddings)
        self._stale = True
        return self

    def add_documents(self, documents: Iterable[Document], batch_size: int = BATCH, tqdm_bar: bool = True) -> Self:
        """Encode documents and add them."""
        return self.add(self.encode_documents(documents, batch_size, tqdm_bar))

    def update(self, documents_embeddings: Mapping[Key, E]) -> Self:
        """Replace documents.

        Raises
        ------
        KeyError
            If a document is missing; the index is then unchanged.
        """
        self._require(documents_embeddings)
        return self.add(documents_embeddings)

    def delete(self, ids: Iterable[Key]) -> Self:
        """Remove documents.

        Raises
        ------
        KeyError
            If a document is missing; the index is then unchanged.
        """
        distinct = list(dict.fromkeys(ids))
        self._require(distinct)
        for key in distinct:
            del self._documents[key]
        self._stale = True
        return self

    def _search(self, queries: list[str], k: int | None, filters: Filter | None) -> list[list[Result]]:
        encoded = self.encode_queries(queries, tqdm_bar=False)
        return self(encoded, k=k, tqdm_bar=False, filters=filters)

    def __call__(
        self,
        queries_embeddings: Mapping[str, E],
        *,
        k: int | None = None,
        batch_size: int = 64,
        tqdm_bar: bool = True,
        filters: Filter | None = None,
    ) -> list[list[Result]]:
        """Search by encoded queries.

        Parameters
        ----------
        queries_embeddings : mapping of text → embedding
            From `encode_queries`, which makes repeated queries get their own lists.
        k : int or None
            Maximum documents for each query; None for all that match.
        batch_size : int
            Queries scored at a time.
        tqdm_bar : bool
        filters : callable or collection of ids, optional
            Restricts the search to ids that it accepts or contains.

        Returns
        -------
        list, for each query, of dicts
            The id under `key` and ``similarity``, best first, ties in insertion order. Empty without a match.

        Raises
        ------
        ValueError
            If `k` is below 1.
        """
        return self._find(queries_embeddings, k, batch_size, tqdm_bar, filters, self._scores)

    def _find(
        self,
        queries_embeddings: Mapping[str, E],
        k: int | None,
        batch_size: int,
        tqdm_bar: bool,
        filters: Filter | None,
        score: Callable[[Sequence[E], NDArray[np.bool_] | None], Iterable[Scored]],
    ) -> list[list[Result]]:
        if k is not None and k < 1:
            raise ValueError(f"k {k} is below 1")
        self._refresh()
        allowed = self._allowed(filters)
        results: list[list[Result]] = []
        for batch in batchify(in_order(queries_embeddings), batch_size, "search", tqdm_bar):
            scored = score(batch, allowed) if self._ids else [_NO_MATCHES] * len(batch)
            results.extend(self._results(positions, scores, k) for positions, scores in scored)
        return results

    def save(self, path: str | Path) -> None:
        """Write the index to one file: ids and embeddings, without documents and model.

        The file is replaced atomically.

        Raises
        ------
        ValueError
            If the retriever uses a custom vectorizer or analyzer, which cannot be serialised.
        """
        settings = self._settings()
        header = store.Header(self.kind, self.key, self.on, settings, list(self._documents))
        store.write(Path(path), header, self._arrays(list(self._documents.values())))

    @classmethod
    def load(cls, path: str | Path, **arguments: object) -> Self:
        """Load an index written by `save`.

        Parameters
        ----------
        path : str or Path
        **arguments
            Constructor arguments that are not in the file: ``model=``.

        Raises
        ------
        ValueError
            If the file has another kind of retriever or another version, or was made
            with another model.
        """
        header, arrays = store.read(Path(path), cls.kind)
        retriever = cls._restore(header, arguments)
        return retriever.add(dict(zip(header.ids, retriever._embeddings(arrays), strict=True)))

    @classmethod
    def _restore(cls, header: store.Header, arguments: Mapping[str, Any]) -> Self:
        """An empty retriever with the file's settings."""
        return cls(header.key, header.on, **arguments)

    def _settings(self) -> dict[str, Any]:
        """Settings for `_restore`, as JSON values."""
        return {}

    @abstractmethod
    def _arrays(self, embeddings: list[E]) -> dict[str, NDArray[Any]]:
        """Embeddings as arrays; the inverse of `_embeddings`."""

    @abstractmethod
    def _embeddings(self, arrays: Mapping[str, NDArray[Any]]) -> list[E]:
        """Embeddings of the documents in a file, in order."""

    @abstractmethod
    def _build(self) -> None:
        """Build the data structure of all documents that `_scores` uses."""

    @abstractmethod
    def _scores(self, queries: Sequence[E], allowed: NDArray[np.bool_] | None) -> Iterable[Scored]:
        """Matches of each query among the allowed documents; called only if the index is not empty."""

    def _refresh(self) -> None:
        if self._stale:
            self._ids = list(self._documents)
            if self._ids:
                self._build()
            self._stale = False

    def _require(self, ids: Iterable[Key]) -> None:
        if missing := [key for key in ids if key not in self._documents]:
            raise KeyError(f"the index has no document {missing[0]!r} ({len(missing)} are missing): add it first")

    def _allowed(self, filters: Filter | None) -> NDArray[np.bool_] | None:
        if filters is None:
            return None
        if callable(filters):
            return np.fromiter((bool(filters(key)) for key in self._ids), np.bool_, len(self._ids))
        wanted = frozenset(filters)
        return np.fromiter((key in wanted for key in self._ids), np.bool_, len(self._ids))

    def _results(self, positions: NDArray[np.int64], scores: NDArray[np.float32], k: int | None) -> list[Result]:
        best = top(scores, k)
        pairs = zip(positions[best].tolist(), scores[best].tolist(), strict=True)
        return [{self.key: self._ids[position], "similarity": score} for position, score in pairs]


class ModelRetriever(ModelEncoder[E], Retriever[E]):
    """A retriever that runs a model; its files record the model's digest."""

    def _settings(self) -> dict[str, Any]:
        return {"model": self.model.digest}

    @classmethod
    def _restore(cls, header: store.Header, arguments: Mapping[str, Any]) -> Self:
        retriever = super()._restore(header, arguments)
        recorded, given = header.settings["model"], retriever.model.digest
        if recorded and given and recorded != given:
            raise ValueError(
                f"the index was made with the model {recorded[:12]}, not with {given[:12]}: "
                "load that model, or encode the documents again"
            )
        return retriever


_NO_MATCHES: Scored = (np.empty(0, np.int64), np.empty(0, np.float32))


def top(scores: NDArray[np.float32], k: int | None) -> NDArray[np.int64]:
    """Positions of the `k` largest scores in descending order; ties by position.

    >>> top(np.array([1.0, 3.0, 1.0, 2.0], dtype=np.float32), 3).tolist()
    [1, 3, 0]
    """
    positions = np.arange(scores.size)
    if k is not None and k < scores.size:
        positions = np.flatnonzero(scores >= np.partition(scores, -k)[-k])
    order = np.argsort(-scores[positions], kind="stable")[:k]
    return positions[order].astype(np.int64)
