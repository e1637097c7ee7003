"""Batching: grouping texts by length, and padding them to tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cherche_models.tokenizer import TextFormat, Tokenizer
from cherche_models.types import Tokens, lengths

CPU_TOKENS, ACCELERATOR_TOKENS = 2048, 16384
FEWEST_TOKENS = 16
"""Of a batch on a CPU: MKL multiplies fewer rows by a kernel that sums in another order (seen in fp32)."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Padded model input.

    Attributes
    ----------
    input_ids, attention_mask : int64 tensors, shape (batch, length)
    lengths : tuple of int
        Tokens of each text; the rest of its row is padding.
    positions : tuple of int
        Positions of the texts in the caller's list, for errors.
    """

    input_ids: Tensor
    attention_mask: Tensor
    lengths: tuple[int, ...]
    positions: tuple[int, ...]

    @property
    def real(self) -> Tensor:
        """Bool tensor, shape (batch, length): False for padding."""
        width = self.input_ids.shape[1]
        sizes = torch.tensor(self.lengths, device=self.input_ids.device)
        return torch.arange(width, device=self.input_ids.device) < sizes.unsqueeze(1)


def plan(tokens: Sequence[Tokens], budget: int = CPU_TOKENS, *, padded: bool = True) -> list[list[int]]:
    """Positions of the texts of each batch: longest first, at most `budget` tokens including padding.

    A text longer than the budget has a batch of its own; texts without tokens are left out. Without
    `padded`, only texts of equal length share a batch: masked attention sums in another order, so
    padding changes the last bits of an encoding, whereas other texts in the batch do not.

    >>> plan([Tokens((1,) * n, ("a",) * n, n) for n in (2, 9, 3)], budget=10)
    [[1], [2, 0]]
    >>> plan([Tokens((1,) * n, ("a",) * n, n) for n in (2, 3, 2)], padded=False)
    [[1], [0, 2]]
    """
    batches: list[list[int]] = []
    width = 0
    sizes = lengths(tokens)
    for i in np.argsort(-sizes, kind="stable")[: int(np.count_nonzero(sizes))].tolist():
        full = not batches or width * (len(batches[-1]) + 1) > budget
        if full or (not padded and sizes[i] != width):
            batches.append([])
            width = int(sizes[i])
        batches[-1].append(i)
    return batches


def plan_alike(tokens: Sequence[Tokens], budget: int = CPU_TOKENS) -> list[list[int]]:
    """As `plan`, so that a text has the same bits beside any others on a CPU.

    Texts of a batch are of equal length, and repeated until they have `FEWEST_TOKENS`.

    >>> plan_alike([Tokens((1,) * n, ("a",) * n, n) for n in (6, 9, 6)])
    [[1, 1], [0, 2, 0, 2]]
    """
    return [
        positions * max(1, -(-FEWEST_TOKENS // (len(positions) * len(tokens[positions[0]]))))
        for positions in plan(tokens, budget, padded=False)
    ]


def collate(
    tokens: Sequence[Tokens],
    tokenizer: Tokenizer,
    style: TextFormat,
    device: torch.device,
    positions: Sequence[int] | None = None,
) -> Batch:
    """Pad texts to the longest of them.

    ``[MASK]`` tokens added by ColBERT's query augmentation are outside the attention
    mask, unless `style.attend_expansion`.
    """
    sizes = lengths(tokens)
    width = int(sizes.max(initial=0))
    ids = np.full((len(tokens), width), tokenizer.pad_id, np.int64)
    attention = np.zeros((len(tokens), width), np.int64)
    for row, item in enumerate(tokens):
        ids[row, : len(item)] = item.ids
        attention[row, : _attended(item, tokenizer, style)] = 1
    return Batch(
        torch.from_numpy(ids).to(device),
        torch.from_numpy(attention).to(device),
        tuple(sizes.tolist()),
        tuple(range(len(tokens)) if positions is None else positions),
    )


def _attended(item: Tokens, tokenizer: Tokenizer, style: TextFormat) -> int:
    end = len(item)
    if style.expand and not style.attend_expansion:
        while end and item.ids[end - 1] == tokenizer.mask_id:
            end -= 1
    return end
