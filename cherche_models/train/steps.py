"""One training step for each kind of model, for custom training loops.

Texts are given as three columns: anchor, positive, negative. A step runs the model
in training mode and restores its previous mode.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from cherche_models.errors import ItemError
from cherche_models.losses import flops, known_relevant, maxsim_scores, ranking, sparse_scores, term_scores
from cherche_models.losses.modules import bounded
from cherche_models.models.base import Model, Output
from cherche_models.texts import check_texts
from cherche_models.tokenizer import Kind

Losses = dict[str, Tensor]


def train_colbert(
    model: Model,
    optimizer: torch.optim.Optimizer,
    anchor: Sequence[str],
    positive: Sequence[str],
    negative: Sequence[str],
    in_batch_negatives: bool = False,
    step: int | None = None,
    gradient_accumulation_steps: int = 50,
) -> Losses:
    """Rank each positive above its negative by MaxSim.

    Parameters
    ----------
    model : Model
        With token embeddings, in float32.
    optimizer : torch.optim.Optimizer
    anchor, positive, negative : sequences of str
        Of the same length.
    in_batch_negatives : bool
        Use all other documents of the batch as negatives too, except copies of the anchor's
        own positives.
    step : int or None
        None updates the weights in every call. A number, from 0, updates them once every
        `gradient_accumulation_steps` calls; call `flush` after the last one.
    gradient_accumulation_steps : int

    Returns
    -------
    dict
        ``loss``, detached from the graph.

    Raises
    ------
    ValueError
        If the columns differ in length or are empty, the model lacks the head, the loss is not finite, or
        an anchor's negative is its positive, or another of its positives (`ItemError`); the weights are unchanged.
    """
    with _training(model):
        queries, documents, columns, masked = _run(model, anchor, positive, negative, in_batch_negatives)
        loss = ranking(_maxsim(queries, documents), columns, masked)
        _backward(loss, optimizer, step, gradient_accumulation_steps)
    return {"loss": loss.detach()}


def train_splade(
    model: Model,
    optimizer: torch.optim.Optimizer,
    anchor: Sequence[str],
    positive: Sequence[str],
    negative: Sequence[str],
    flops_loss_weight: float = 3e-6,
    sparse_loss_weight: float = 1.0,
    in_batch_negatives: bool = False,
    threshold_flops: float | None = None,
    max_flops_loss: float | None = None,
    step: int | None = None,
    gradient_accumulation_steps: int = 50,
) -> Losses:
    """Rank each positive above its negative by the dot product of term weights, with FLOPS regularisation.

    ``loss = sparse_loss_weight * sparse + flops_loss_weight * flops``, where ``flops`` is
    the sum of the FLOPS (Paria et al. 2020) of anchors and of documents. neural-cherche clips
    the distance from a threshold, whose gradient is mostly 0; the same weight has a larger
    effect here. `losses.quadratic` gives the usual schedule.

    Parameters
    ----------
    model : Model
        With term weights, in float32.
    optimizer, anchor, positive, negative, in_batch_negatives, step, gradient_accumulation_steps
        As in `train_colbert`.
    flops_loss_weight, sparse_loss_weight : float
    threshold_flops, max_flops_loss : float or None
        As in `losses.Flops`.

    Returns
    -------
    dict
        ``sparse``, ``flops`` and ``loss``, detached from the graph.

    Raises
    ------
    ValueError
        As in `train_colbert`.
    """
    with _training(model):
        queries, documents, columns, masked = _run(model, anchor, positive, negative, in_batch_negatives)
        query_weights, document_weights = _weights(queries), _weights(documents)
        sparse = ranking(sparse_scores(query_weights, document_weights), columns, masked)
        cost = bounded(flops(query_weights) + flops(document_weights), threshold_flops, max_flops_loss)
        loss = sparse_loss_weight * sparse + flops_loss_weight * cost
        _backward(loss, optimizer, step, gradient_accumulation_steps)
    return {"sparse": sparse.detach(), "flops": cost.detach(), "loss": loss.detach()}


def train_sparse_embed(
    model: Model,
    optimizer: torch.optim.Optimizer,
    anchor: Sequence[str],
    positive: Sequence[str],
    negative: Sequence[str],
    flops_loss_weight: float = 3e-6,
    sparse_loss_weight: float = 0.1,
    dense_loss_weight: float = 1.0,
    in_batch_negatives: bool = False,
    threshold_flops: float | None = None,
    max_flops_loss: float | None = None,
    step: int | None = None,
    gradient_accumulation_steps: int = 50,
) -> Losses:
    """Rank each positive above its negative by the vectors of shared terms and by term weights.

    Parameters
    ----------
    model : models.SparseEmbed
        In float32.
    optimizer, anchor, positive, negative, in_batch_negatives, step, gradient_accumulation_steps
        As in `train_colbert`; in-batch negatives apply to both ranking losses.
    flops_loss_weight, sparse_loss_weight, dense_loss_weight : float
    threshold_flops, max_flops_loss : float or None
        As in `losses.Flops`.

    Returns
    -------
    dict
        ``dense``, ``sparse``, ``flops`` and ``loss``, their weighted sum; detached from the graph.

    Raises
    ------
    ValueError
        As in `train_colbert`.
    """
    with _training(model):
        queries, documents, columns, masked = _run(model, anchor, positive, negative, in_batch_negatives)
        query_weights, document_weights = _weights(queries), _weights(documents)
        dense = ranking(term_scores(queries, documents), columns, masked)
        sparse = ranking(sparse_scores(query_weights, document_weights), columns, masked)
        cost = bounded(flops(query_weights) + flops(document_weights), threshold_flops, max_flops_loss)
        loss = dense_loss_weight * dense + sparse_loss_weight * sparse + flops_loss_weight * cost
        _backward(loss, optimizer, step, gradient_accumulation_steps)
    parts = {"dense": dense, "sparse": sparse, "flops": cost, "loss": loss}
    return {name: part.detach() for name, part in parts.items()}


def flush(optimizer: torch.optim.Optimizer, step: int, gradient_accumulation_steps: int = 50) -> bool:
    """Update the weights with the gradients of a last, incomplete accumulation window.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
    step : int
        Of the last call.
    gradient_accumulation_steps : int

    Returns
    -------
    bool
        Whether there were gradients to apply; they are averaged over the calls of the window.
    """
    pending = (step + 1) % gradient_accumulation_steps
    if pending:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.mul_(gradient_accumulation_steps / pending)
        _apply(optimizer)
    return bool(pending)


def _weights(output: Output) -> Tensor:
    if output.weights is None:
        raise ValueError("this model has no term weights: load a splade model")
    return output.weights


def _maxsim(queries: Output, documents: Output) -> Tensor:
    if queries.embeddings is None or documents.embeddings is None or queries.terms is not None:
        raise ValueError("this model has no token embeddings: load a colbert model")
    if queries.mask is None or documents.mask is None:
        raise ValueError("the output has token embeddings but no mask of padding")
    return maxsim_scores(queries.embeddings, queries.mask, documents.embeddings, documents.mask)


def _run(
    model: Model, anchor: Sequence[str], positive: Sequence[str], negative: Sequence[str], in_batch: bool
) -> tuple[Output, Output, Tensor, Tensor]:
    """Outputs of anchors and distinct documents, the column of each positive, and the mask of excluded candidates."""
    if not anchor or not len(anchor) == len(positive) == len(negative):
        raise ValueError(
            f"{len(anchor)} anchors, {len(positive)} positives, {len(negative)} negatives: give the same number of each"
        )
    for texts in (anchor, positive, negative):
        check_texts(texts)
    documents = list(dict.fromkeys([*positive, *negative]))
    known: dict[str, set[str]] = {}
    for query, document in zip(anchor, positive, strict=True):
        known.setdefault(query, set()).add(document)
    masked = known_relevant(documents, positive, [known[query] for query in anchor])
    column = {document: i for i, document in enumerate(documents)}
    if not in_batch:
        own = torch.tensor([column[document] for document in negative]).unsqueeze(1)
        masked = masked | torch.ones_like(masked).scatter(1, own, False)
    columns = torch.tensor([column[document] for document in positive])
    alone = masked.scatter(1, columns.unsqueeze(1), True).all(dim=1)
    if bool(alone.any()):
        raise ItemError(
            int(alone.nonzero()[0]),
            "of the anchors has nothing to be ranked against, as its negative is a positive of the same anchor: "
            "give another negative",
        )
    outputs = _forward(model, anchor, "query"), _forward(model, documents, "document")
    return (*outputs, columns.to(model.device), masked.to(model.device))


def _forward(model: Model, texts: Sequence[str], kind: Kind) -> Output:
    output: Output = model(*model.collate(model.tokenize(texts, kind), kind), kind)
    return output


def _backward(loss: Tensor, optimizer: torch.optim.Optimizer, step: int | None, window: int) -> None:
    if not bool(torch.isfinite(loss)):
        raise ValueError(f"the loss is {float(loss.detach())}: lower the learning rate")
    torch.autograd.backward(loss if step is None else loss / window)
    if step is None or (step + 1) % window == 0:
        _apply(optimizer)


def _apply(optimizer: torch.optim.Optimizer) -> None:
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


@contextmanager
def _training(model: Model) -> Iterator[None]:
    before = model.training
    model.train()
    try:
        yield
    finally:
        model.train(before)
