"""Scores of triples from models' output tensors, for custom training loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cherche_models.runtime.pairs import maxsim_pairs, term_pairs
from cherche_models.types import Compat

Scores = dict[str, Tensor]
"""``positive_scores`` (batch,); ``negative_scores`` (batch,), or (batch, batch) with in-batch negatives."""


def colbert_scores(
    anchor_embeddings: Tensor,
    positive_embeddings: Tensor,
    negative_embeddings: Tensor,
    in_batch_negatives: bool = False,
    compat: Compat | None = None,
) -> Scores:
    """MaxSim of each anchor with its positive and its negative; rows of zeros are padding.

    Parameters
    ----------
    anchor_embeddings, positive_embeddings, negative_embeddings : tensors, shape (batch, rows, dim)
    in_batch_negatives : bool
        Use the positives of all other anchors as negatives too.
    compat : {"1.4"} or None
        As in that release of neural-cherche: padding has similarity 0, and the only in-batch
        negative is the next anchor's positive (in a batch of one, the anchor's own).
    """

    def score(queries: Tensor, documents: Tensor) -> Tensor:
        return maxsim_pairs(queries, documents, padding_counts=compat is not None)

    return _triples(
        score, (anchor_embeddings,), (positive_embeddings,), (negative_embeddings,), in_batch_negatives, compat
    )


def sparse_scores(
    anchor_activations: Tensor,
    positive_activations: Tensor,
    negative_activations: Tensor,
    in_batch_negatives: bool = False,
    compat: Compat | None = None,
) -> Scores:
    """Dot products of term weights, shape (batch, vocabulary); otherwise as `colbert_scores`."""

    def score(queries: Tensor, documents: Tensor) -> Tensor:
        return (queries * documents).sum(dim=1)

    sides = (anchor_activations,), (positive_activations,), (negative_activations,)
    return _triples(score, *sides, in_batch_negatives, compat)


def dense_scores(
    anchor_activations: Tensor,
    positive_activations: Tensor,
    negative_activations: Tensor,
    anchor_embeddings: Tensor,
    positive_embeddings: Tensor,
    negative_embeddings: Tensor,
    func: Callable[..., Any] = torch.sum,
    in_batch_negatives: bool = False,
    compat: Compat | None = None,
) -> Scores:
    """Dot products of the vectors of shared terms; 0 without a shared term.

    Parameters
    ----------
    anchor_activations, positive_activations, negative_activations : int64 tensors, shape (batch, terms)
    anchor_embeddings, positive_embeddings, negative_embeddings : tensors, shape (batch, terms, dim)
    func : torch.sum or torch.mean
        Over the components of shared terms.
    in_batch_negatives, compat
        As in `colbert_scores`.

    Raises
    ------
    ValueError
        If `func` is neither.
    """
    if func not in (torch.sum, torch.mean):
        raise ValueError("func must be torch.sum or torch.mean")

    def score(query_terms: Tensor, queries: Tensor, terms: Tensor, documents: Tensor) -> Tensor:
        return term_pairs(query_terms, terms, queries, documents, mean=func is torch.mean)

    anchor, positive = (anchor_activations, anchor_embeddings), (positive_activations, positive_embeddings)
    return _triples(score, anchor, positive, (negative_activations, negative_embeddings), in_batch_negatives, compat)


def pairs_dense_scores(
    queries_activations: Tensor, documents_activations: Tensor, queries_embeddings: Tensor, documents_embeddings: Tensor
) -> Tensor:
    """Dot products of the vectors of shared terms, summed, of each query with its document.

    Returns
    -------
    Tensor, shape (pairs,)

    >>> terms, vectors = torch.tensor([[3, 7]]), torch.tensor([[[1.0, 2.0], [0.5, 0.0]]])
    >>> pairs_dense_scores(terms, terms, vectors, vectors).tolist()
    [5.25]
    """
    return term_pairs(queries_activations, documents_activations, queries_embeddings, documents_embeddings)


_Side = tuple[Tensor, ...]


def _triples(
    score: Callable[..., Tensor], anchor: _Side, positive: _Side, negative: _Side, in_batch: bool, compat: Compat | None
) -> Scores:
    found = {"positive_scores": score(*anchor, *positive), "negative_scores": score(*anchor, *negative)}
    number = len(anchor[0])
    shifts = range(1, 2 if compat else number) if in_batch else range(0)
    others = [score(*anchor, *(part.roll(shift, dims=0) for part in positive)) for shift in shifts]
    if in_batch:
        found["negative_scores"] = torch.stack([found["negative_scores"], *others], dim=1)
    return found
