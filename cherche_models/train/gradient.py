"""The gradient of one batch: at once, or chunk by chunk with the same result.

Chunk by chunk is gradient caching (Gao et al. 2021, "Scaling Deep Contrastive
Learning Batch Size under Memory Limited Setup"): outputs first, without a graph;
then the loss and its gradient by the outputs; then each chunk again, with a
graph of its own that this gradient is sent through.
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
from cherche_models.train.batch import Batch
from cherche_models.train.processes import Processes
from cherche_models.train.settings import Settings
from cherche_models.types import Tokens

Scored = Callable[[Output, Output], Parts]


class _Chunk(NamedTuple):
    """Some rows of one side of a batch, as model input."""

    kind: Kind
    rows: list[int]
    input_ids: Tensor
    attention_mask: Tensor
    seed: int


def encoded(model: Model, texts: Sequence[str], kind: Kind, settings: Settings) -> tuple[Tensor, Tensor]:
    """Padded input of a whole side of a batch."""
    return model.collate(_tokens(model, texts, kind, settings), kind)


def forward(model: Model, given: tuple[Tensor, Tensor], kind: Kind, settings: Settings) -> Output:
    """One forward pass, in bfloat16 where the settings say so."""
    with torch.autocast(model.device.type, torch.bfloat16, enabled=settings.bf16):
        output: Output = model(*given, kind)
    return output


def whole(
    model: Model, batch: Batch, scored: Scored, settings: Settings, processes: Processes, step: int, share: float
) -> Parts:
    """Add a batch's gradient to that of the weights, in one graph; parameters as of `cached`."""
    torch.manual_seed(settings.seed * 1_000_003 + step)
    queries = forward(model, encoded(model, batch.queries, "query", settings), "query", settings)
    documents = forward(model, encoded(model, batch.documents, "document", settings), "document", settings)
    parts = scored(queries, documents)
    torch.autograd.backward(parts.total * share)
    return Parts(*(part.detach() for part in parts))


def cached(
    model: Model, batch: Batch, scored: Scored, settings: Settings, processes: Processes, step: int, share: float
) -> Parts:
    """Add a batch's gradient to that of the weights, chunk by chunk.

    Parameters
    ----------
    model : Model
    batch : Batch
        The global one.
    scored : callable
        The loss of the outputs of all queries and all documents.
    settings : Settings
        Its `chunk` is how many texts are encoded at once; 0 for all of this process's.
    processes : Processes
        Of which this one encodes a part of the texts.
    step : int
    share : float
        What the gradient is multiplied by.

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
        whole = processes.gather(_joined(outputs, [chunk.rows for chunk in own], model), len(texts))
        leaves.append(_leaf(whole))
    parts = scored(*leaves)
    torch.autograd.backward(parts.total * share)
    for own, leaf, (_, texts) in zip(chunks, leaves, sides, strict=True):
        first = processes.part(len(texts)).start
        for chunk in own:
            _send(_encode(model, chunk, settings), leaf, [first + row for row in chunk.rows])
    return Parts(*(part.detach() for part in parts))


def _tokens(model: Model, texts: Sequence[str], kind: Kind, settings: Settings) -> list[Tokens]:
    length = settings.query_length if kind == "query" else settings.document_length
    return model.tokenize(texts, kind, min(length, model.formats[kind].max_length))


def _chunks(
    model: Model, texts: Sequence[str], kind: Kind, settings: Settings, processes: Processes, step: int
) -> Iterator[_Chunk]:
    """Texts of one process, those of like length together."""
    tokens = _tokens(model, texts[processes.part(len(texts))], kind, settings)
    order = sorted(range(len(tokens)), key=lambda i: len(tokens[i].ids))
    size = settings.chunk or max(1, len(tokens))
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        given = model.collate([tokens[row] for row in rows], kind)
        yield _Chunk(kind, rows, *given, _seed(settings.seed, step, kind, processes.rank, start))


def _seed(*parts: object) -> int:
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big")


def _encode(model: Model, chunk: _Chunk, settings: Settings) -> Output:
    """The output of a chunk; the seed gives both passes the same dropout."""
    torch.manual_seed(chunk.seed)
    return forward(model, (chunk.input_ids, chunk.attention_mask), chunk.kind, settings)


def _joined(outputs: Sequence[Output], rows: Sequence[list[int]], model: Model) -> Output:
    """Rows of all chunks in the order of the texts, padded to the widest."""
    order = [row for chunk in rows for row in chunk]
    back = torch.tensor(sorted(range(len(order)), key=order.__getitem__), dtype=torch.long, device=model.device)
    return Output(*(_column([getattr(o, name) for o in outputs], back) for name in Output._fields))


def _column(parts: Sequence[Tensor | None], back: Tensor) -> Tensor | None:
    found = [part for part in parts if part is not None]
    if not found:
        return None
    if found[0].ndim == 1 or len({part.shape[1] for part in found}) == 1:
        return torch.cat(found)[back]
    width = max(part.shape[1] for part in found)
    pads = [(0, 0) * (part.ndim - 2) + (0, width - part.shape[1]) for part in found]
    return torch.cat([nn.functional.pad(part, pad) for part, pad in zip(found, pads, strict=True)])[back]


def _leaf(output: Output) -> Output:
    """The same values, at which gradients are gathered."""
    return output._replace(
        weights=None if output.weights is None else output.weights.detach().requires_grad_(),
        embeddings=None if output.embeddings is None else output.embeddings.detach().requires_grad_(),
    )


def _send(output: Output, leaf: Output, rows: list[int]) -> None:
    """Send what arrived at some rows of a leaf through the graph of the chunk that made them."""
    pairs = ((output.weights, leaf.weights), (output.embeddings, leaf.embeddings))
    made, arrived = [], []
    for own, whole in pairs:
        if own is not None and whole is not None and whole.grad is not None:
            made.append(own)
            arrived.append(whole.grad[rows][:, : own.shape[1]].to(own.dtype))
    if made:
        torch.autograd.backward(made, arrived)
