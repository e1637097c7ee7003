"""Models as neural-cherche calls them: texts in, padded tensors by name out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cherche_models.tokenizer import Kind
from cherche_models.utils.batches import batchify

if TYPE_CHECKING:
    from cherche_models.models.base import Model


def kind_of(query_mode: bool) -> Kind:
    """What `query_mode` means.

    >>> kind_of(True), kind_of(False)
    ('query', 'document')
    """
    return "query" if query_mode else "document"


def tensors(model: Model, texts: Sequence[str], kind: Kind) -> dict[str, Tensor]:
    """One forward pass over all texts; what a text without tokens gets is zeros.

    Returns
    -------
    dict of name → Tensor, shape (texts, ...)
        Names and widths as `Model.tensors` has them.
    """
    tokens = model.tokenize(texts, kind)
    full = [i for i, item in enumerate(tokens) if len(item)]
    if not full:
        raise ValueError(f"none of the {len(texts)} texts has a token: there is nothing to encode")
    found = model.tensors(model(*model.collate([tokens[i] for i in full], kind), kind), kind)
    if len(full) == len(tokens):
        return found
    return {name: spread(rows, full, len(tokens)) for name, rows in found.items()}


def spread(rows: Tensor, places: Sequence[int], size: int) -> Tensor:
    """Rows put where they belong among zeros.

    >>> spread(torch.tensor([[5.0]]), [1], 3).tolist()
    [[0.0], [5.0], [0.0]]
    """
    at = torch.tensor(list(places), device=rows.device)
    return rows.new_zeros((size, *rows.shape[1:])).index_copy(0, at, rows)


def widen(rows: Tensor, width: int) -> Tensor:
    """Zeros after the rows of each text, up to `width` of them.

    >>> widen(torch.ones(1, 1, 2), 3).shape
    torch.Size([1, 3, 2])
    """
    return torch.nn.functional.pad(rows, (0, 0, 0, max(width - rows.shape[1], 0)))


def pair_scores(
    model: Model, queries: Sequence[str], documents: Sequence[str], batch_size: int, tqdm_bar: bool
) -> Tensor:
    """Score of each query with its document, shape (pairs,).

    Raises
    ------
    ValueError
        If there are more of the one than of the other.
    """
    if len(queries) != len(documents):
        raise ValueError(f"{len(queries)} queries and {len(documents)} documents: give one document for each query")
    pairs = list(zip(queries, documents, strict=True))
    found = [torch.empty(0, device=model.device)]
    with torch.no_grad():
        for batch in batchify(pairs, batch_size, "scores", tqdm_bar):
            asked = tensors(model, [query for query, _ in batch], "query")
            found.append(model.pair_scores(asked, tensors(model, [document for _, document in batch], "document")))
    return torch.cat(found)
