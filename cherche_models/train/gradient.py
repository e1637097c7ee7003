"""The gradient of one batch: in one graph, or in chunks with the same result.

Chunks use gradient caching (Gao et al. 2021, "Scaling Deep Contrastive Learning
Batch Size under Memory Limited Setup"): encode all chunks without a graph; compute
the loss and its gradient with respect to the outputs; encode each chunk again with
a graph, and backpropagate that gradient through it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cherche_models.losses import Parts
from cherche_models.models.base import Model, Output
from cherche_models.tokenizer import Kind
from cherche_models.train.batch import TrainingBatch
from cherche_models.train.processes import Processes
from cherche_models.train.settings import Settings
from cherche_models.types import Tokens

_BUCKET, _SPREAD = 768, 1.2
"""Tokens below which a bucket is not worth a pass of its own, and its longest text over its shortest."""

Scored = Callable[[Output, Output], Parts]


class _Chunk(NamedTuple):
    """Rows of the queries or the documents of a batch, as model input."""

    kind: Kind
    rows: list[int]
    input_ids: Tensor
    attention_mask: Tensor
    seed: int


def encoded(model: Model, texts: Sequence[str], kind: Kind, settings: Settings) -> tuple[Tensor, Tensor]:
    """Padded model input of all queries or all documents of a batch."""
    return model.collate(_tokens(model, texts, kind, settings), kind)


def forward(model: Model, inputs: tuple[Tensor, Tensor], kind: Kind, settings: Settings) -> Output:
    """One forward pass, under bfloat16 autocast if `settings.bf16`."""
    with torch.autocast(model.device.type, torch.bfloat16, enabled=settings.bf16):
        output: Output = model(*inputs, kind)
    return output


def whole(
    model: Model,
    batch: TrainingBatch,
    scored: Scored,
    settings: Settings,
    processes: Processes,
    step: int,
    share: float,
) -> Parts:
    """Accumulate a batch's gradient in one graph; parameters as in `cached`."""
    torch.manual_seed(settings.seed * 1_000_003 + step)
    with torch.autocast(model.device.type, torch.bfloat16, enabled=settings.bf16):  # casts weights once for all buckets
        outputs = (
            _bucketed(model, batch.queries, "query", settings),
            _bucketed(model, batch.documents, "document", settings),
        )
    parts = scored(*outputs)
    torch.autograd.backward(parts.total * share)
    return Parts(*(part.detach() for part in parts))


def cached(
    model: Model,
    batch: TrainingBatch,
    scored: Scored,
    settings: Settings,
    processes: Processes,
    step: int,
    share: float,
) -> Parts:
    """Accumulate a batch's gradient chunk by chunk.

    Parameters
    ----------
    model : Model
    batch : TrainingBatch
        The global one.
    scored : callable
        The loss, from the outputs of all queries and all documents.
    settings : Settings
        `chunk` texts are encoded at once; 0 for all texts of this process.
    processes : Processes
        Each process encodes its part of the texts.
    step : int
    share : float
        Factor of the gradient.

    Returns
    -------
    Parts
        Detached, the same in every process.
    """
    sides: tuple[tuple[Kind, list[str]], ...] = (("query", batch.queries), ("document", batch.documents))
    chunks = [list(_chunks(model, texts, kind, settings, processes, step)) for kind, texts in sides]
    leaves = []
    for own, (_, texts) in zip(chunks, sides, strict=True):
        with torch.no_grad():
            outputs = [_encode(model, chunk, settings) for chunk in own]
        joined = _in_text_order(outputs, [chunk.rows for chunk in own], model)
        leaves.append(_leaf(processes.gather(joined, len(texts))))
    parts = scored(*leaves)
    torch.autograd.backward(parts.total * share)
    for own, leaf, (_, texts) in zip(chunks, leaves, sides, strict=True):
        first = processes.part(len(texts)).start
        for chunk in own:
            _backpropagate(_encode(model, chunk, settings), leaf, [first + row for row in chunk.rows])
    return Parts(*(part.detach() for part in parts))


def _bucketed(model: Model, texts: Sequence[str], kind: Kind, settings: Settings) -> Output:
    """Encode texts of similar length together, which spends little on padding."""
    tokens = _tokens(model, texts, kind, settings)
    order = sorted(range(len(tokens)), key=lambda i: len(tokens[i].ids))
    groups: list[list[int]] = []
    for row in order:
        longest = len(tokens[groups[-1][0]].ids) if groups else 0
        if not groups or (len(tokens[row].ids) > _SPREAD * longest and _size(groups[-1], tokens) >= _BUCKET):
            groups.append([])
        groups[-1].append(row)
    outputs = [forward(model, model.collate([tokens[row] for row in group], kind), kind, settings) for group in groups]
    return _in_text_order(outputs, groups, model)


def _size(rows: Sequence[int], tokens: Sequence[Tokens]) -> int:
    return sum(len(tokens[row].ids) for row in rows)


def _tokens(model: Model, texts: Sequence[str], kind: Kind, settings: Settings) -> list[Tokens]:
    length = settings.query_length if kind == "query" else settings.document_length
    return model.tokenize(texts, kind, min(length, model.formats[kind].max_length))


def _chunks(
    model: Model, texts: Sequence[str], kind: Kind, settings: Settings, processes: Processes, step: int
) -> Iterator[_Chunk]:
    """The texts of this process, sorted by length to save padding."""
    tokens = _tokens(model, texts[processes.part(len(texts))], kind, settings)
    order = sorted(range(len(tokens)), key=lambda i: len(tokens[i].ids))
    size = settings.chunk or max(1, len(tokens))
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        inputs = model.collate([tokens[row] for row in rows], kind)
        yield _Chunk(kind, rows, *inputs, _seed(settings.seed, step, kind, processes.rank, start))


def _seed(*parts: object) -> int:
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big")


def _encode(model: Model, chunk: _Chunk, settings: Settings) -> Output:
    """The output of a chunk; the seed makes dropout the same in both passes."""
    torch.manual_seed(chunk.seed)
    return forward(model, (chunk.input_ids, chunk.attention_mask), chunk.kind, settings)


def _in_text_order(outputs: Sequence[Output], rows: Sequence[list[int]], model: Model) -> Output:
    """The rows of all chunks in the order of the texts, padded to the longest."""
    order = [row for chunk in rows for row in chunk]
    back = torch.tensor(sorted(range(len(order)), key=order.__getitem__), dtype=torch.long, device=model.device)
    return Output(*(_concatenated([getattr(o, name) for o in outputs], back) for name in Output._fields))


def _concatenated(parts: Sequence[Tensor | None], back: Tensor) -> Tensor | None:
    found = [part for part in parts if part is not None]
    if not found:
        return None
    if found[0].ndim == 1 or len({part.shape[1] for part in found}) == 1:
        return torch.cat(found)[back]
    width = max(part.shape[1] for part in found)
    pads = [(0, 0) * (part.ndim - 2) + (0, width - part.shape[1]) for part in found]
    return torch.cat([nn.functional.pad(part, pad) for part, pad in zip(found, pads, strict=True)])[back]


def _leaf(output: Output) -> Output:
    """The same values as leaf tensors, which receive the loss's gradient."""
    return output._replace(
        weights=None if output.weights is None else output.weights.detach().requires_grad_(),
        embeddings=None if output.embeddings is None else output.embeddings.detach().requires_grad_(),
    )


def _backpropagate(output: Output, leaf: Output, rows: list[int]) -> None:
    """Backpropagate the leaf's gradient of a chunk's rows through the chunk's graph."""
    pairs = ((output.weights, leaf.weights), (output.embeddings, leaf.embeddings))
    tensors, gradients = [], []
    for own, whole in pairs:
        if own is not None and whole is not None and whole.grad is not None:
            tensors.append(own)
            gradients.append(whole.grad[rows][:, : own.shape[1]].to(own.dtype))
    if tensors:
        torch.autograd.backward(tensors, gradients)
