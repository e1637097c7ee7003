"""The base of all rankers: scores and orders the candidates of each query."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from cherche_models.rank.fusion import FusedRankers
from cherche_models.retrieve.encoder import BATCH, Encoder, ModelEncoder
from cherche_models.retrieve.pipeline import RanksCandidates
from cherche_models.utils.batches import batchify
from cherche_models.utils.documents import Document, Key, Result, id_of, in_order

E = TypeVar("E")


class Ranker(Encoder[E]):
    """Scores candidates; may store document embeddings for use in pipelines."""

    def __init__(self, key: str, on: str | Sequence[str]) -> None:
        super().__init__(key, on)
        self._documents: dict[Key, E] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(key={self.key!r}, on={self.on!r}, documents={len(self._documents)})"

    def add(self, documents_embeddings: Mapping[Key, E]) -> Self:
        """Store embeddings for `rank`; documents with the same id are replaced."""
        self._documents.update(documents_embeddings)
        return self

    def add_documents(self, documents: Iterable[Document], batch_size: int = BATCH, tqdm_bar: bool = True) -> Self:
        """Encode documents and store them for `rank`."""
        return self.add(self.encode_documents(documents, batch_size, tqdm_bar))

    def __mul__(self, other: RanksCandidates) -> FusedRankers:
        """Both rankers, fused by reciprocal ranks."""
        return FusedRankers([self, other])

    __or__ = __and__ = __mul__  # rankers share their candidates, so union, intersection and voting are the same

    def rank(self, queries: list[str], candidates: list[list[Result]], k: int | None = None) -> list[list[Result]]:
        """Order the candidates of each query as a call does; their documents must have been added."""
        encoded = self.encode_queries(queries, tqdm_bar=False)
        return self(candidates, encoded, self._documents, tqdm_bar=False, k=k)

    def __call__(
        self,
        documents: Sequence[Sequence[Document]],
        queries_embeddings: Mapping[str, E],
        documents_embeddings: Mapping[Key, E],
        *,
        batch_size: int = 64,
        tqdm_bar: bool = True,
        k: int | None = None,
    ) -> list[list[Result]]:
        """Order the candidates of each query.

        Parameters
        ----------
        documents : sequence of lists of dict
            Candidates of each query.
        queries_embeddings : mapping of text → embedding
            From `encode_queries`.
        documents_embeddings : mapping of id → embedding
        batch_size : int
            Queries per step of the progress bar.
        tqdm_bar : bool
        k : int or None
            Maximum documents for each query; None for all.

        Returns
        -------
        list, for each query, of dicts
            The candidates' own fields and ``similarity``, best first, ties in the original
            order. Candidates without a score (texts without tokens) come last, with
            similarity None.

        Raises
        ------
        ValueError
            If the numbers of candidate lists and queries differ, or `k` is below 1.
        KeyError
            If a candidate has no embedding.
        """
        if k is not None and k < 1:
            raise ValueError(f"k {k} is below 1")
        queries = in_order(queries_embeddings)
        if len(queries) != len(documents):
            raise ValueError(
                f"{len(documents)} lists of candidates for {len(queries)} queries: "
                "pass the queries, including repeated ones, through encode_queries"
            )
        ranked: list[list[Result]] = []
        for batch in batchify(list(zip(queries, documents, strict=True)), batch_size, "rank", tqdm_bar):
            ranked.extend(self._ranked(query, candidates, documents_embeddings)[:k] for query, candidates in batch)
        return ranked

    def _ranked(self, query: E, candidates: Sequence[Document], embeddings: Mapping[Key, E]) -> list[Result]:
        if not candidates:
            return []
        ids = [id_of(candidate, self.key, i) for i, candidate in enumerate(candidates)]
        if missing := [key for key in ids if key not in embeddings]:
            raise KeyError(
                f"the candidate {missing[0]!r} has no embedding ({len(missing)} are missing): "
                "encode it with encode_candidates_documents"
            )
        scores = self._score(query, [embeddings[key] for key in ids])
        order = np.argsort(-scores, kind="stable").tolist()
        return [{**candidates[i], "similarity": float(scores[i]) if np.isfinite(scores[i]) else None} for i in order]

    @abstractmethod
    def _score(self, query: E, documents: list[E]) -> NDArray[np.float32]:
        """Scores, shape (documents,); -inf for documents without a score."""


class ModelRanker(ModelEncoder[E], Ranker[E]):
    """A ranker by the embeddings of a model."""
