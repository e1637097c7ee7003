"""Scores of (query, document) pairs from padded tensors, row by row."""

from __future__ import annotations

import torch
from torch import Tensor


def maxsim_pairs(queries: Tensor, documents: Tensor, *, padding_counts: bool = False) -> Tensor:
    """MaxSim of each query with its document (Khattab & Zaharia 2020, eq. 3).

    Rows of zeros are padding; unit vectors are never zero.

    Parameters
    ----------
    queries : Tensor, shape (pairs, query rows, dim)
    documents : Tensor, shape (pairs, document rows, dim)
    padding_counts : bool
        As in neural-cherche: padding has similarity 0, so negative similarities never count.

    Returns
    -------
    Tensor, shape (pairs,)
        -inf for a document without rows.

    Raises
    ------
    ValueError
        If the numbers of queries and documents differ.

    >>> query, document = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[-0.6, 0.8], [0.0, 0.0]]])
    >>> round(float(maxsim_pairs(query, document)), 4), float(maxsim_pairs(query, document, padding_counts=True))
    (-0.6, 0.0)
    """
    _check(queries, documents)
    similarity = torch.einsum("bsh,bth->bst", queries, documents)
    if not padding_counts:
        similarity = similarity.masked_fill(~documents.any(dim=-1).unsqueeze(1), -torch.inf)
    best = similarity.amax(dim=2)
    return best.masked_fill(~queries.any(dim=-1), 0.0).sum(dim=1)


def term_pairs(
    query_terms: Tensor, document_terms: Tensor, query_vectors: Tensor, document_vectors: Tensor, *, mean: bool = False
) -> Tensor:
    """Sum of the dot products of shared terms' vectors, of each query with its document (Kong et al. 2023).

    Parameters
    ----------
    query_terms, document_terms : int64 tensors, shapes (pairs, query terms), (pairs, document terms)
        Vocabulary ids, distinct within a text.
    query_vectors, document_vectors : tensors, shapes (pairs, terms, dim)
    mean : bool
        Mean instead of sum, over all products of components of shared terms.

    Returns
    -------
    Tensor, shape (pairs,); 0 without a shared term.

    >>> terms, vectors = torch.tensor([[3, 7]]), torch.tensor([[[1.0, 2.0], [0.5, 0.0]]])
    >>> float(term_pairs(terms, torch.tensor([[7, 9]]), vectors, vectors))
    0.5
    """
    _check(query_terms, document_terms)
    shared = query_terms.unsqueeze(2) == document_terms.unsqueeze(1)
    products = torch.einsum("bsh,bth->bst", query_vectors, document_vectors).masked_fill(~shared, 0.0)
    totals = products.sum(dim=(1, 2))
    return totals / (shared.sum(dim=(1, 2)) * query_vectors.shape[-1]).clamp(min=1) if mean else totals


def _check(queries: Tensor, documents: Tensor) -> None:
    if len(queries) != len(documents):
        raise ValueError(f"{len(queries)} queries and {len(documents)} documents: give one document for each query")
