"""MaxSim over packed documents, in numpy.

ColBERT (Khattab & Zaharia 2020, eq. 3): ``S(q, d) = sum_i max_j q_i . d_j``.
Documents are concatenated, so there is no padding to mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cherche_models.types import Floats, TokenEmbeddings

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """Token embeddings of several documents in one matrix.

    Attributes
    ----------
    vectors : float32 array, shape (all tokens, dim)
    offsets : int64 array, shape (documents + 1,)
        Document ``i`` owns rows ``offsets[i]:offsets[i + 1]``.
    """

    vectors: Floats
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.offsets.size) - 1


def pack(documents: Sequence[TokenEmbeddings]) -> Packed:
    """Concatenate documents.

    Raises
    ------
    ValueError
        If the documents differ in dimension.
    """
    widths = {document.dim for document in documents}
    if len(widths) > 1:
        raise ValueError(f"documents have {sorted(widths)} dimensions: encode all with the same model")
    vectors = np.concatenate([d.vectors for d in documents]) if documents else np.empty((0, 0), np.float32)
    return Packed(np.ascontiguousarray(vectors, dtype=np.float32), offsets([len(d) for d in documents]))


def offsets(sizes: Sequence[int]) -> NDArray[np.int64]:
    """Start of each document's rows, and the end of the last one's.

    >>> offsets([2, 0, 3]).tolist()
    [0, 2, 2, 5]
    """
    return np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)), dtype=np.int64)


def maxsim(query: TokenEmbeddings, documents: Packed) -> Scores:
    """MaxSim of one query with each document.

    Parameters
    ----------
    query : TokenEmbeddings, shape (query tokens, dim)
    documents : Packed

    Returns
    -------
    float32 array, shape (documents,). -inf for documents without tokens, and for all
    documents if the query has no tokens: an unknown score, unlike a similarity of 0.

    Raises
    ------
    ValueError
        If query and documents differ in dimension.

    >>> query = TokenEmbeddings(np.array([[1, 0], [0, 1]], dtype=np.float32))
    >>> documents = pack([TokenEmbeddings(np.array([[1, 0], [0.6, 0.8]], dtype=np.float32))])
    >>> round(float(maxsim(query, documents)[0]), 4)
    1.8
    """
    result = np.full(len(documents), -np.inf, np.float32)
    sizes = np.diff(documents.offsets)
    full = np.flatnonzero(sizes)  # reduceat returns a wrong value for an empty segment, so those are left out
    if full.size == 0 or len(query) == 0:
        return result
    _check_widths(query.dim, documents.vectors.shape[1])
    similarity = query.vectors @ documents.vectors.T
    best = np.maximum.reduceat(similarity, documents.offsets[full], axis=1)
    result[full] = best.sum(axis=0)
    return result


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """The best matching document token of each query token.

    Attributes
    ----------
    tokens : int64 array, shape (query tokens,)
        Row of the best document token.
    similarities : float32 array, shape (query tokens,)
        Their sum is the MaxSim.
    """

    tokens: NDArray[np.int64]
    similarities: Floats


def align(query: TokenEmbeddings, document: TokenEmbeddings) -> Alignment:
    """Best document token of each query token; the first one in case of ties.

    Raises
    ------
    ValueError
        If the document has no tokens, or the dimensions differ.

    >>> query = TokenEmbeddings(np.array([[0, 1]], dtype=np.float32))
    >>> align(query, TokenEmbeddings(np.array([[1, 0], [0, 1]], dtype=np.float32))).tokens.tolist()
    [1]
    """
    if len(document) == 0:
        raise ValueError("a document without tokens has no alignment")
    similarity = similarities(query, document)
    tokens = similarity.argmax(axis=1)
    return Alignment(tokens.astype(np.int64), np.take_along_axis(similarity, tokens[:, None], axis=1)[:, 0])


def similarities(query: TokenEmbeddings, document: TokenEmbeddings) -> Floats:
    """Inner product of each query token with each document token, shape (query tokens, document tokens).

    Raises
    ------
    ValueError
        If the dimensions differ.
    """
    _check_widths(query.dim, document.dim)
    found: Floats = query.vectors @ document.vectors.T
    return found


def _check_widths(query: int, documents: int) -> None:
    if query != documents:
        raise ValueError(
            f"query tokens have {query} dimensions, document tokens {documents}: encode both with the same model"
        )
