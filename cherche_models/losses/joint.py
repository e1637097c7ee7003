"""One loss for both heads of a joint model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from cherche_models.losses.distillation import kl_divergence, token_similarity
from cherche_models.losses.flops import flops, quadratic
from cherche_models.losses.ranking import maxsim_scores, ranking, sparse_scores
from cherche_models.models.base import Output


class Targets(NamedTuple):
    """What a batch's scores should look like.

    Attributes
    ----------
    positives : int64 Tensor, shape (queries,)
        Column of each query's positive.
    masked : bool Tensor, shape (queries, documents)
        As `unfair` gives it.
    teacher : Tensor, shape (queries, documents), or None
        Scores of a teacher, already divided by its temperature.
    tokens : pair of Tensors, shapes (queries, query tokens, any), (documents, document tokens, any), or None
        The teacher's unit vectors of the same tokens.
    """

    positives: Tensor
    masked: Tensor
    teacher: Tensor | None = None
    tokens: tuple[Tensor, Tensor] | None = None


class Parts(NamedTuple):
    """The loss and what it is made of; all scalars, `total` the one to differentiate."""

    total: Tensor
    sparse: Tensor
    maxsim: Tensor
    sparse_teacher: Tensor
    maxsim_teacher: Tensor
    tokens: Tensor
    query_flops: Tensor
    document_flops: Tensor


@dataclass(frozen=True, slots=True)
class JointLoss:
    """Ranking and distillation of both heads, sparsity of queries and of documents.

    A weight of 0 leaves its part out; a head that the model lacks has none.

    Attributes
    ----------
    sparse, maxsim : float
        Weight of the ranking loss of each head.
    teacher : float
        Weight of the teacher's part, relative to the ranking loss of the same head.
    tokens : float
        Weight of the teacher's token similarities.
    query_flops, document_flops : float
        Final weights of the FLOPS of queries and of documents. Documents are
        stored, queries are run: they are priced apart.
    flops_steps : int
        Steps over which these grow quadratically.
    sparse_scale, maxsim_scale : float
        What scores are multiplied by before a softmax.
    """

    sparse: float = 1.0
    maxsim: float = 1.0
    teacher: float = 0.0
    tokens: float = 0.0
    query_flops: float = 0.0
    document_flops: float = 0.0
    flops_steps: int = 0
    sparse_scale: float = 1.0
    maxsim_scale: float = 1.0

    def __call__(self, queries: Output, documents: Output, targets: Targets, step: int) -> Parts:
        """Loss of one batch.

        Parameters
        ----------
        queries, documents : Output
            Of the model's forward pass.
        targets : Targets
        step : int
            From 0; what the FLOPS weights grow with.
        """
        nothing = targets.positives.new_zeros((), dtype=torch.float32)
        sparse = sparse_teacher = maxsim = maxsim_teacher = tokens = query_flops = document_flops = nothing
        if queries.weights is not None and documents.weights is not None:
            scores = self.sparse_scale * sparse_scores(queries.weights, documents.weights)
            sparse, sparse_teacher = self._head(scores, targets)
            query_flops, document_flops = flops(queries.weights), flops(documents.weights)
        if queries.embeddings is not None and documents.embeddings is not None:
            scores = self.maxsim_scale * _maxsim(queries, documents)
            maxsim, maxsim_teacher = self._head(scores, targets)
            tokens = self._tokens(queries, documents, targets, nothing)
        grown = quadratic(step, self.flops_steps)
        total = (
            self.sparse * (sparse + self.teacher * sparse_teacher)
            + self.maxsim * (maxsim + self.teacher * maxsim_teacher)
            + self.tokens * tokens
            + grown * (self.query_flops * query_flops + self.document_flops * document_flops)
        )
        return Parts(total, sparse, maxsim, sparse_teacher, maxsim_teacher, tokens, query_flops, document_flops)

    def _head(self, scores: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        label = ranking(scores, targets.positives, targets.masked)
        if targets.teacher is None or self.teacher == 0.0:
            return label, label.new_zeros(())
        return label, kl_divergence(scores, targets.teacher)

    def _tokens(self, queries: Output, documents: Output, targets: Targets, nothing: Tensor) -> Tensor:
        if self.tokens == 0.0 or targets.tokens is None:
            return nothing
        (asked, asked_mask), (offered, offered_mask) = _embedded(queries), _embedded(documents)
        return token_similarity((asked, offered), targets.tokens, (asked_mask, offered_mask))


def _maxsim(queries: Output, documents: Output) -> Tensor:
    return maxsim_scores(*_embedded(queries), *_embedded(documents))


def _embedded(output: Output) -> tuple[Tensor, Tensor]:
    """Token embeddings and the mask of those that count."""
    if output.embeddings is None or output.mask is None:
        raise ValueError("this output has no token embeddings, or no mask of those that count")
    return output.embeddings, output.mask
