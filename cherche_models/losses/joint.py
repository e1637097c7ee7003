"""The training loss of all models: ranking, distillation and sparsity for each head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from cherche_models.losses.distillation import kl_divergence, margin_mse, token_similarity
from cherche_models.losses.flops import Schedule, df_flops, flops, l1, ramp
from cherche_models.losses.ranking import late_scores, ranking, sparse_scores
from cherche_models.models.base import Output

_GROWING = ("query_flops", "document_flops", "query_l1", "document_l1", "document_df_flops")


class Targets(NamedTuple):
    """Training targets of a batch.

    Attributes
    ----------
    positives : int64 Tensor, shape (queries,)
        Column of each query's positive.
    masked : bool Tensor, shape (queries, documents)
        From `known_relevant`: candidates excluded from the ranking loss.
    teacher : Tensor, shape (queries, documents), or None
        Scores of a teacher, already divided by its temperature.
    tokens : pair of Tensors, shapes (queries, query tokens, any), (documents, document tokens, any), or None
        The teacher's unit vectors of the same tokens.
    unscored : bool Tensor, shape (queries, documents), or None
        True for pairs without a teacher score; None if all have one.
    frequencies : Tensor, shape (vocabulary,), or None
        Document frequency of each term as a share, for DF-FLOPS.
    """

    positives: Tensor
    masked: Tensor
    teacher: Tensor | None = None
    tokens: tuple[Tensor, Tensor] | None = None
    unscored: Tensor | None = None
    frequencies: Tensor | None = None


class Parts(NamedTuple):
    """The loss, `total`, and its unweighted terms; all scalars."""

    total: Tensor
    sparse: Tensor
    maxsim: Tensor
    sparse_teacher: Tensor
    maxsim_teacher: Tensor
    tokens: Tensor
    query_flops: Tensor
    document_flops: Tensor
    sparse_margin: Tensor
    maxsim_margin: Tensor
    query_l1: Tensor
    document_l1: Tensor
    document_df_flops: Tensor


@dataclass(frozen=True, slots=True)
class JointLoss:
    """Ranking and distillation losses of both heads, and sparsity of queries and documents.

    A weight of 0 disables a term; terms of heads that the model lacks are 0. SparseEmbed's
    term vectors are weighted by `maxsim`.

    Attributes
    ----------
    sparse, maxsim : float
        Weight of each head.
    rank : float
        Weight of the ranking loss within a head; 0 for distillation alone.
    teacher : float
        Weight of the divergence from the teacher (KL) within a head.
    margin : float
        Weight of the squared error of the teacher's margins (MarginMSE) within a head.
    tokens : float
        Weight of the teacher's token similarities.
    query_flops, document_flops : float
        Final weights of the FLOPS of queries and of documents: query sparsity determines
        latency, document sparsity also index size.
    query_l1, document_l1 : float
        Final weights of the mean L1 norms.
    document_df_flops : float
        Final weight of DF-FLOPS.
    flops_steps : int
        Steps until these five weights reach their final values.
    schedule : {"quadratic", "linear", "constant"}
        Of these five weights.
    sparse_scale, maxsim_scale : float
        Factor of the scores before a softmax or a margin.
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
    rank: float = 1.0
    margin: float = 0.0
    query_l1: float = 0.0
    document_l1: float = 0.0
    document_df_flops: float = 0.0
    schedule: Schedule = "quadratic"

    @property
    def is_taught(self) -> bool:
        """Whether the loss needs teacher scores."""
        return self.teacher > 0 or self.margin > 0

    def __call__(self, queries: Output, documents: Output, targets: Targets, step: int) -> Parts:
        """Loss of one batch.

        Parameters
        ----------
        queries, documents : Output
            Of the model's forward pass.
        targets : Targets
        step : int
            From 0; determines the weights of the sparsity terms.
        """
        parts = {name: targets.masked.new_zeros((), dtype=torch.float32) for name in Parts._fields}
        if queries.weights is not None and documents.weights is not None:
            scores = self.sparse_scale * sparse_scores(queries.weights, documents.weights)
            parts |= self._head("sparse", scores, targets)
            parts |= _sparsity(queries.weights, documents.weights, targets.frequencies)
        if queries.embeddings is not None and documents.embeddings is not None:
            parts |= self._head("maxsim", self.maxsim_scale * late_scores(queries, documents), targets)
            parts |= self._tokens(queries, documents, targets)
        parts["total"] = self._total(parts, step)
        return Parts(**parts)

    def weights(self, step: int) -> dict[str, float]:
        """Weight of each part of `Parts` in the total at a step, from 0.

        >>> JointLoss(sparse=2.0, rank=0.5, document_l1=0.1, flops_steps=10, schedule="linear").weights(5)["sparse"]
        1.0
        """
        grown = ramp(self.schedule, step, self.flops_steps)
        found = {name: grown * getattr(self, name) for name in _GROWING}
        for head, weight in (("sparse", self.sparse), ("maxsim", self.maxsim)):
            own = {head: self.rank, f"{head}_teacher": self.teacher, f"{head}_margin": self.margin}
            found |= {name: weight * factor for name, factor in own.items()}
        return {**found, "tokens": self.tokens}

    def _total(self, parts: dict[str, Tensor], step: int) -> Tensor:
        return sum((weight * parts[name] for name, weight in self.weights(step).items() if weight), parts["total"])

    def _head(self, head: str, scores: Tensor, targets: Targets) -> dict[str, Tensor]:
        found = {head: ranking(scores, targets.positives, targets.masked)}
        if targets.teacher is not None and self.teacher:
            found[f"{head}_teacher"] = kl_divergence(scores, targets.teacher, targets.unscored)
        if targets.teacher is not None and self.margin:
            found[f"{head}_margin"] = margin_mse(scores, targets.teacher, targets.positives, targets.unscored)
        return found

    def _tokens(self, queries: Output, documents: Output, targets: Targets) -> dict[str, Tensor]:
        if self.tokens == 0.0 or targets.tokens is None:
            return {}
        vectors, masks = zip(_embedded(queries), _embedded(documents), strict=True)
        return {"tokens": token_similarity(vectors, targets.tokens, masks)}


def _sparsity(queries: Tensor, documents: Tensor, frequencies: Tensor | None) -> dict[str, Tensor]:
    found = {
        "query_flops": flops(queries),
        "document_flops": flops(documents),
        "query_l1": l1(queries),
        "document_l1": l1(documents),
    }
    return found if frequencies is None else {**found, "document_df_flops": df_flops(documents, frequencies)}


def _embedded(output: Output) -> tuple[Tensor, Tensor]:
    """Token embeddings and their mask."""
    if output.embeddings is None or output.mask is None or output.terms is not None:
        raise ValueError("the output has no token embeddings, or no mask of padding")
    return output.embeddings, output.mask
