"""One loss for every model: each head that a model has is ranked, taught and kept sparse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from cherche_models.losses.distillation import kl_divergence, margin_mse, token_similarity
from cherche_models.losses.flops import Schedule, df_flops, flops, grown, l1
from cherche_models.losses.ranking import late_scores, ranking, sparse_scores
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
    unscored : bool Tensor, shape (queries, documents), or None
        Where the teacher gave no score; None where it scored all.
    frequencies : Tensor, shape (vocabulary,), or None
        Share of documents that have each term, for DF-FLOPS.
    """

    positives: Tensor
    masked: Tensor
    teacher: Tensor | None = None
    tokens: tuple[Tensor, Tensor] | None = None
    unscored: Tensor | None = None
    frequencies: Tensor | None = None


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
    sparse_margin: Tensor
    maxsim_margin: Tensor
    query_l1: Tensor
    document_l1: Tensor
    document_df_flops: Tensor


@dataclass(frozen=True, slots=True)
class JointLoss:
    """Ranking and distillation of both heads, sparsity of queries and of documents.

    A weight of 0 leaves its part out; a head that the model lacks has none. The
    vectors of SparseEmbed's terms count as `maxsim`.

    Attributes
    ----------
    sparse, maxsim : float
        Weight of each head.
    rank : float
        Weight of the ranking loss within a head; 0 to learn from a teacher alone.
    teacher : float
        Weight of the divergence from the teacher (KL) within a head.
    margin : float
        Weight of the squared error of the teacher's margins (MarginMSE) within a head.
    tokens : float
        Weight of the teacher's token similarities.
    query_flops, document_flops : float
        Final weights of the FLOPS of queries and of documents. Documents are
        stored, queries are run: they are priced apart.
    query_l1, document_l1 : float
        The same for mean L1 norms.
    document_df_flops : float
        The same for DF-FLOPS.
    flops_steps : int
        Steps over which these five grow.
    schedule : {"quadratic", "linear", "constant"}
        How they grow.
    sparse_scale, maxsim_scale : float
        What scores are multiplied by before a softmax or a margin.
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
        """Whether scores of a teacher are needed."""
        return self.teacher > 0 or self.margin > 0

    def __call__(self, queries: Output, documents: Output, targets: Targets, step: int) -> Parts:
        """Loss of one batch.

        Parameters
        ----------
        queries, documents : Output
            Of the model's forward pass.
        targets : Targets
        step : int
            From 0; what the weights of sparsity grow with.
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

    def _total(self, parts: dict[str, Tensor], step: int) -> Tensor:
        growing = ("query_flops", "document_flops", "query_l1", "document_l1", "document_df_flops")
        total = grown(self.schedule, step, self.flops_steps) * sum(
            (getattr(self, name) * parts[name] for name in growing if getattr(self, name)), parts["total"]
        )
        for head, weight in (("sparse", self.sparse), ("maxsim", self.maxsim)):
            if weight:
                taught = self.teacher * parts[f"{head}_teacher"] + self.margin * parts[f"{head}_margin"]
                total = total + weight * (self.rank * parts[head] + taught)
        return total + self.tokens * parts["tokens"] if self.tokens else total

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
        (asked, asked_mask), (offered, offered_mask) = _embedded(queries), _embedded(documents)
        return {"tokens": token_similarity((asked, offered), targets.tokens, (asked_mask, offered_mask))}


def _sparsity(queries: Tensor, documents: Tensor, frequencies: Tensor | None) -> dict[str, Tensor]:
    found = {
        "query_flops": flops(queries),
        "document_flops": flops(documents),
        "query_l1": l1(queries),
        "document_l1": l1(documents),
    }
    return found if frequencies is None else {**found, "document_df_flops": df_flops(documents, frequencies)}


def _embedded(output: Output) -> tuple[Tensor, Tensor]:
    """Token embeddings and the mask of those that count."""
    if output.embeddings is None or output.mask is None or output.terms is not None:
        raise ValueError("this model has no token embeddings, or no mask of those that count")
    return output.embeddings, output.mask
