"""SparseEmbed retrieval: candidates by shared terms, scored by the vectors of these terms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cherche_models import models
from cherche_models.models import Model
from cherche_models.retrieve.base import ModelRetriever, Scored, top
from cherche_models.retrieve.sparse import Rows, postings_scores, split, stack
from cherche_models.retrieve.splade import weights_row
from cherche_models.scores import offsets
from cherche_models.types import Encoding, Floats
from cherche_models.utils.documents import Filter, Result


class TermVectors(TypedDict):
    """A text's terms in increasing order of id, with their weights and vectors.

    Attributes
    ----------
    sparse_activations : sparse row, shape (1, vocabulary)
    activations : int64 array, shape (terms,)
        Vocabulary ids.
    embeddings : float32 array, shape (terms, dim)
    """

    sparse_activations: Rows
    activations: NDArray[np.int64]
    embeddings: Floats


class SparseEmbed(ModelRetriever[TermVectors]):
    """Retrieval of candidates by term weights, ranked by term vectors.

    Parameters
    ----------
    key : str
    on : str or sequence of str
    model : models.SparseEmbed
    device : str or None
        Moves the model there.
    tokenizer_parallelism : str
        No effect; accepted for compatibility with neural-cherche.

    Raises
    ------
    ValueError
        If the model is not a SparseEmbed model.
    """

    kind = "sparse_embed"

    def __init__(
        self,
        key: str,
        on: str | Sequence[str],
        model: Model,
        device: str | None = None,
        *,
        tokenizer_parallelism: str = "false",
    ) -> None:
        super().__init__(key, on, model, device)
        self._index: Rows = stack([])

    def __call__(
        self,
        queries_embeddings: Mapping[str, TermVectors],
        *,
        k: int | None = None,
        batch_size: int = 64,
        tqdm_bar: bool = True,
        filters: Filter | None = None,
        k_rank: int | None = None,
    ) -> list[list[Result]]:
        """Search by encoded queries, as every retriever does.

        Parameters
        ----------
        queries_embeddings : mapping of text → embedding
        k : int or None
            Maximum documents for each query; None for all that match.
        batch_size, tqdm_bar, filters
        k_rank : int or None
            Candidates with the best dot products of term weights to rank by their vectors; None
            for all that share a term. Also the maximum number of results.
        """
        if k_rank is not None and k_rank < 1:
            raise ValueError(f"k_rank {k_rank} is below 1")
        return self._find(queries_embeddings, k, batch_size, tqdm_bar, filters, partial(self._scores, k_rank=k_rank))

    def _check(self, model: Model) -> None:
        check_sparse_embed(model)

    def _embedding(self, encoding: Encoding) -> TermVectors:
        return term_vectors(encoding, len(self.model.vocabulary))

    def _build(self) -> None:
        self._index = sparse.csr_array(stack([d["sparse_activations"] for d in self._documents.values()]).T)

    def _scores(
        self, queries: Sequence[TermVectors], allowed: NDArray[np.bool_] | None, k_rank: int | None = None
    ) -> Iterator[Scored]:
        rows = stack([query["sparse_activations"] for query in queries], self._index.shape[0])
        for query, (positions, scores) in zip(queries, postings_scores(rows, self._index, allowed), strict=True):
            kept = np.sort(positions[top(scores, k_rank)])
            yield kept, term_scores(query, [self._documents[self._ids[i]] for i in kept.tolist()])

    def _arrays(self, embeddings: list[TermVectors]) -> dict[str, NDArray[Any]]:
        rows = stack([embedding["sparse_activations"] for embedding in embeddings])
        vectors = [embedding["embeddings"] for embedding in embeddings]
        return {
            "weights": rows.data,
            "terms": rows.indices.astype(np.int64),
            "offsets": rows.indptr.astype(np.int64),
            "width": np.array([rows.shape[1]]),
            "vectors": np.concatenate(vectors) if vectors else np.empty((0, 0), np.float32),
        }

    def _embeddings(self, arrays: Mapping[str, NDArray[Any]]) -> list[TermVectors]:
        rows = split(arrays["weights"], arrays["terms"], arrays["offsets"], int(arrays["width"][0]))
        return [
            TermVectors(
                sparse_activations=row,
                activations=arrays["terms"][start:end],
                embeddings=arrays["vectors"][start:end],
            )
            for row, (start, end) in zip(rows, pairwise(arrays["offsets"].tolist()), strict=True)
        ]


def check_sparse_embed(model: Model) -> None:
    """Check that a model is a SparseEmbed model.

    Raises
    ------
    ValueError
        If it is not.
    """
    if not isinstance(model, models.SparseEmbed):
        raise ValueError(f"a {model.architecture} model has no term vectors: load a sparse_embed model")  # noqa: TRY004 - a checkpoint of the wrong kind


def term_vectors(encoding: Encoding, width: int) -> TermVectors:
    """The terms of a text and their vectors."""
    if encoding.weights is None or encoding.embeddings is None:
        raise ValueError("the model returned no term vectors")
    return TermVectors(
        sparse_activations=weights_row(encoding, width),
        activations=encoding.weights.ids.astype(np.int64),
        embeddings=encoding.embeddings.vectors,
    )


def term_scores(query: TermVectors, documents: Sequence[TermVectors]) -> NDArray[np.float32]:
    """Sum of the dot products of shared terms' vectors (Kong et al. 2023, "SparseEmbed").

    Returns
    -------
    float32 array, shape (documents,); 0 without a shared term.
    """
    query_terms = query["activations"]
    if not documents or not query_terms.size:
        return np.zeros(len(documents), np.float32)
    terms = np.concatenate([document["activations"] for document in documents])
    vectors = np.concatenate([document["embeddings"] for document in documents])
    starts = offsets([document["activations"].size for document in documents])
    owners = np.repeat(np.arange(len(documents)), np.diff(starts))
    places = np.minimum(np.searchsorted(query_terms, terms), query_terms.size - 1)
    shared = query_terms[places] == terms
    products = np.einsum("td,td->t", query["embeddings"][places[shared]], vectors[shared])
    return np.bincount(owners[shared], products, len(documents)).astype(np.float32)
