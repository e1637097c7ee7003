"""Knowledge distillation: losses that compare the student's scores with a teacher's."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def kl_divergence(student: Tensor, teacher: Tensor, masked: Tensor | None = None) -> Tensor:
    """``KL(softmax(teacher) || softmax(student))`` over each query's candidates, mean over queries.

    The caller scales scores by the temperature.

    Parameters
    ----------
    student, teacher : Tensor, shape (queries, documents)
    masked : bool Tensor, shape (queries, documents), optional
        Candidates excluded from both distributions. At least one of each query must remain.

    Returns
    -------
    Tensor, scalar

    >>> scores = torch.tensor([[2.0, 1.0]])
    >>> float(kl_divergence(scores, scores + 5.0))
    0.0
    """
    if masked is not None:
        # Finite: with -inf, kl_div in log space computes exp(-inf) * (-inf - -inf), which is NaN.
        lowest = torch.finfo(student.dtype).min / 4
        student, teacher = student.masked_fill(masked, lowest), teacher.masked_fill(masked, lowest)
    return functional.kl_div(
        functional.log_softmax(student, dim=1),
        functional.log_softmax(teacher, dim=1),
        reduction="batchmean",
        log_target=True,
    )


def margin_mse(student: Tensor, teacher: Tensor, positives: Tensor, masked: Tensor | None = None) -> Tensor:
    """Squared error of the margins between each positive and every other candidate.

    Hofstätter et al. 2020, "Improving Efficient Neural Ranking Models with
    Cross-Architecture Knowledge Distillation", eq. 5.

    Parameters
    ----------
    student, teacher : Tensor, shape (queries, documents)
    positives : int64 Tensor, shape (queries,)
        Column of each query's positive.
    masked : bool Tensor, shape (queries, documents), optional
        Candidates that the teacher did not score; a query with a masked positive is left out.

    Returns
    -------
    Tensor, scalar
        Mean over queries and their other candidates.

    >>> float(margin_mse(torch.tensor([[3.0, 1.0]]), torch.tensor([[5.0, 2.0]]), torch.tensor([0])))
    1.0
    """
    column = positives.unsqueeze(1)
    error = (student.gather(1, column) - student) - (teacher.gather(1, column) - teacher)
    if masked is None:
        return error.square().sum() / max(error.numel() - error.shape[0], 1)
    counted = (~masked & ~masked.gather(1, column)).scatter(1, column, False)
    return error.masked_fill(~counted, 0.0).square().sum() / counted.sum().clamp(min=1)


def token_similarity(
    student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor], masks: tuple[Tensor, Tensor]
) -> Tensor:
    """Squared error of the similarities between query tokens and document tokens.

    MaxSim depends on nothing else, so a student with its teacher's similarities
    ranks as the teacher does. The embedding dimensions may differ.

    Parameters
    ----------
    student, teacher : pairs of Tensors, shapes (queries, query tokens, dim), (documents, document tokens, dim)
        Unit vectors of the same tokens.
    masks : pair of bool Tensors, shapes (queries, query tokens), (documents, document tokens)
        False for padding and other excluded tokens.

    Returns
    -------
    Tensor, scalar
        Mean over all pairs of unmasked tokens.

    >>> one, mask = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[True]])
    >>> float(token_similarity((one, one), (one, torch.tensor([[[0.0, 1.0]]])), (mask, mask)))
    1.0
    """
    ours, theirs = (queries[masks[0]] @ documents[masks[1]].T for queries, documents in (student, teacher))
    return functional.mse_loss(ours, theirs)
