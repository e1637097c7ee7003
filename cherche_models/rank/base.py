"""What all rankers share: candidates of each query, scored and put in order."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from cherche_models.rank.fusion import Together
from cherche_models.retrieve.encoder import BATCH, Encoder, ModelEncoder
from cherche_models.retrieve.pipeline import Ranks
from cherche_models.utils.batches import batchify
from cherche_models.utils.documents import Document, Key, Result, id_of, in_order

E = TypeVar("E")


class Ranker(Encoder[E]):
    """Scores candidates; may keep what it needs of documents, for pipelines."""

    def __init__(self, key: str, on: str | Sequence[str]) -> None:
        super().__init__(key, on)
        self._documents: dict[Key, E] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(key={self.key!r}, on={self.on!r}, documents={len(self._documents)})"

    def add(self, documents_embeddings: Mapping[Key, E]) -> Self:
        """Keep embeddings for `rank`; a document that is there already is replaced."""
        self._documents.update(documents_embeddings)
        return self

    def add_documents(self, documents: Iterable[Document], batch_size: int = BATCH, tqdm_bar: bool = True) -> Self:
        """Encode documents and keep them for `rank`."""
        return self.add(self.encode_documents(documents, batch_size, tqdm_bar))

    def __mul__(self, other: Ranks) -> Together:
        """Both, fused by reciprocal ranks."""
        return Together([self, other])

    __or__ = __and__ = __mul__  # both see the same candidates: a union, an intersection and a vote are one

    def rank(self, queries: list[str], candidates: list[list[Result]], k: int | None = None) -> list[list[Result]]:
        """Order the candidates of each query, whose documents were added before; as a call does."""
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
            As `encode_queries` gives it.
        documents_embeddings : mapping of id → embedding
        batch_size : int
            Queries between two steps of the progress bar.
        tqdm_bar : bool
        k : int or None
            Most documents for each query; None for all.

        Returns
        -------
        list, for each query, of dicts
            The candidates' own fields and ``similarity``, best first, ties as they
            came. Candidates of which nothing can be said (a text without tokens) come
            last, their similarity None.

        Raises
        ------
        ValueError
            If there are more or fewer lists of candidates than queries, or `k` is below 1.
        KeyError
            If a candidate has no embedding.
        """
        if k is not None and k < 1:
            raise ValueError(f"k {k} is below 1")
        queries = in_order(queries_embeddings)
        if len(queries) != len(documents):
            raise ValueError(
                f"{len(documents)} lists of candidates for {len(queries)} queries: "
                "encode the same queries, repeated ones too, by encode_queries"
            )
        ranked: list[list[Result]] = []
        for batch in batchify(list(zip(queries, documents, strict=True)), batch_size, "rank", tqdm_bar):
            ranked.extend(self._ranked(query, candidates, documents_embeddings)[:k] for query, candidates in batch)
        return ranked

    def _ranked(self, query: E, candidates: Sequence[Document], embeddings: Mapping[Key, E]) -> list[Result]:
        if not candidates:
            return []
        found = [self._lookup(embeddings, id_of(candidate, self.key, i)) for i, candidate in enumerate(candidates)]
        scores = self._score(query, found)
        order = np.argsort(-scores, kind="stable").tolist()
        return [{**candidates[i], "similarity": float(scores[i]) if np.isfinite(scores[i]) else None} for i in order]

    def _lookup(self, embeddings: Mapping[Key, E], key: Key) -> E:
        if key not in embeddings:
            raise KeyError(f"the candidate {key!r} has no embedding: encode it, by encode_candidates_documents")
        return embeddings[key]

    @abstractmethod
    def _score(self, query: E, documents: list[E]) -> NDArray[np.float32]:
        """Scores, shape (documents,); -inf where nothing can be said."""


class ModelRanker(ModelEncoder[E], Ranker[E]):
    """A ranker that compares embeddings of a model."""
