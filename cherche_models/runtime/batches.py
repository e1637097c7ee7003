"""Batching: grouping texts by length, and making tensors of them, padded or packed."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from cherche_models.kernel import short as short_texts
from cherche_models.runtime import threads
from cherche_models.tokenizer import TextFormat, Tokenizer
from cherche_models.types import Encoding, Tokens, lengths

CPU_TOKENS, PACKED_TOKENS, ACCELERATOR_TOKENS = 2048, 1024, 16384
PART_TOKENS = 256
"""Of a batch beside others, at least where there are as many: fewer rows are multiplied slowly."""
FEWEST_TOKENS = 16
"""Of a batch on a CPU: MKL multiplies fewer rows by a kernel that sums in another order (seen in fp32)."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Model input, padded or packed.

    Attributes
    ----------
    input_ids, attention_mask : int64 tensors, shape (batch, length), or (tokens,) if packed
    lengths : tuple of int
        Tokens of each text; the rest of its row is padding.
    positions : tuple of int
        Positions of the texts in the caller's list, for errors.
    packed : bool
        The texts lie one after another, without padding; all their tokens are attended to.
    short : bool
        For `native.Native`.
    """

    input_ids: Tensor
    attention_mask: Tensor
    lengths: tuple[int, ...]
    positions: tuple[int, ...]
    packed: bool = False
    short: bool = False

    @property
    def real(self) -> Tensor:
        """Bool tensor, as `input_ids`: False for padding."""
        if self.packed:
            return torch.ones_like(self.input_ids, dtype=torch.bool)
        return self.places < torch.tensor(self.lengths, device=self.input_ids.device).unsqueeze(1)

    @property
    def places(self) -> Tensor:
        """Place of each token in its text; shape (length,), or (tokens,) if packed."""
        device = self.input_ids.device
        if not self.packed:
            return torch.arange(self.input_ids.shape[1], device=device)
        sizes = torch.tensor(self.lengths, device=device)
        starts = torch.repeat_interleave(sizes.cumsum(0) - sizes, sizes)
        return torch.arange(len(self.input_ids), device=device) - starts

    def counts(self, chosen: Tensor) -> list[int]:
        """How many tokens of each text are chosen, by a bool tensor as `input_ids`."""
        if not self.packed:
            found: list[int] = chosen.sum(dim=1).tolist()
            return found
        return [int(part.sum()) for part in torch.split(chosen, list(self.lengths))]


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


def plan_packed(tokens: Sequence[Tokens], budget: int = PACKED_TOKENS) -> list[list[int]]:
    """Positions of the texts of each packed batch: longest first, at most `budget` tokens.

    As in `plan_alike` a text has the same bits beside any others: texts of a batch with fewer tokens than
    `FEWEST_TOKENS` are repeated. A text longer than the budget has a batch of its own; texts without tokens are left
    out.

    >>> plan_packed([Tokens((1,) * n, ("a",) * n, n) for n in (9, 30, 0, 2, 9)], budget=40)
    [[1, 0], [4, 3, 4, 3]]
    """
    sizes = lengths(tokens)
    batches: list[list[int]] = []
    room = 0
    for i in np.argsort(-sizes, kind="stable")[: int(np.count_nonzero(sizes))].tolist():
        if sizes[i] > room:
            batches.append([])
            room = budget
        batches[-1].append(i)
        room -= int(sizes[i])
    return [batch * max(1, -(-FEWEST_TOKENS // int(sizes[batch].sum()))) for batch in batches]


def plan_beside(tokens: Sequence[Tokens], threads: int, budget: int = PACKED_TOKENS) -> list[list[int]]:
    """Positions of the texts of packed batches that are computed side by side, and so end together: as many for each
    thread, with about as many tokens each.

    A batch has an eighth more than `budget` at the most, or one text; texts without tokens are left out. As in
    `plan_packed` texts of a batch with fewer tokens than `FEWEST_TOKENS` are repeated.

    >>> plan_beside([Tokens((1,) * n, ("a",) * n, n) for n in (90, 300, 0, 200, 310, 220)], threads=2)
    [[4, 3, 0], [1, 5]]
    """
    sizes = lengths(tokens)
    total = int(sizes.sum())
    order = [int(i) for i in np.argsort(-sizes, kind="stable")[: int(np.count_nonzero(sizes))]]
    most = budget + budget // 8
    rounds = -(-total // (threads * budget))
    few = min(threads, max(1, total // PART_TOKENS)) if rounds == 1 else threads
    while True:
        batches: list[list[int]] = [[] for _ in range(rounds * few)]
        heap = [(0, i) for i in range(len(batches))]
        for i in order:
            size, least = heap[0]
            batches[least].append(i)
            heapq.heapreplace(heap, (size + int(sizes[i]), least))
        if all(len(batch) < 2 or int(sizes[batch].sum()) <= most for batch in batches):
            break
        rounds += 1
    # Whatever is largest begins first.
    batches = sorted((batch for batch in batches if batch), key=lambda batch: -int(sizes[batch].sum()))
    return [batch * max(1, -(-FEWEST_TOKENS // int(sizes[batch].sum()))) for batch in batches]


def filled(tokens: int) -> int:
    """Tokens of a packed batch once it is filled up, so that batches are of few sizes.

    oneDNN compiles each of bfloat16's products for the number of its rows, and keeps them all: a batch of a new size
    takes a millisecond and 2.5 MiB. Up to 1,024 tokens there are 40 sizes.

    >>> [filled(count) for count in (16, 17, 256, 257, 1024)]
    [16, 32, 256, 288, 1024]
    """
    step = 16 if tokens <= 256 else 32
    return -(-tokens // step) * step


def fill(tokens: Sequence[Tokens], positions: Sequence[int]) -> tuple[list[Tokens], list[int]]:
    """The same batch, filled up by the beginnings of its own first texts.

    They come before all others, under the positions of those texts, whose encodings so replace theirs.

    >>> batch = [Tokens((1,) * n, ("a",) * n, n) for n in (13, 9)]
    >>> texts, positions = fill(batch, [4, 7])
    >>> [len(text) for text in texts], positions
    ([10, 13, 9], [4, 4, 7])
    """
    total = sum(map(len, tokens))
    missing = filled(total) - total
    texts: list[Tokens] = []
    for item in tokens:
        if not missing:
            break
        texts.append(Tokens(item.ids[:missing], item.texts[:missing], item.total))
        missing -= len(texts[-1])
    return [*texts, *tokens], [*positions[: len(texts)], *positions]


def pack(tokens: Sequence[Tokens], positions: Sequence[int], short: bool = False) -> Batch:
    """Texts that have tokens, one after another, on the CPU; all of their tokens are attended to."""
    ids = torch.from_numpy(np.fromiter(chain.from_iterable(item.ids for item in tokens), np.int64))
    return Batch(ids, torch.ones_like(ids), tuple(map(len, tokens)), tuple(positions), packed=True, short=short)


def batched(
    tokens: Sequence[Tokens],
    tokenizer: Tokenizer,
    style: TextFormat,
    device: torch.device,
    packs: bool,
    alike: bool,
    short: int = 0,
    side_by_side: int = 1,
    fills: bool = False,
) -> Iterator[Batch]:
    """The batches of texts, as the device computes them best.

    Parameters
    ----------
    tokens : sequence of Tokens
    tokenizer : Tokenizer
    style : TextFormat
    device : torch.device
    packs : bool
        Whether the encoder takes packed batches.
    alike : bool
        A text has the same bits beside any others; on a CPU only.
    short : int
        Tokens of the longest text that `native.Native` is to run, where the encoder takes packed batches.
    side_by_side : int
        Packed batches that are computed at the same time.
    fills : bool
        Whether packed batches are filled up, see `filled`; `native.Native` has no use for it.
    """
    if packs:
        for positions in short_texts.plan(tokens, short):
            yield pack([tokens[i] for i in positions], positions, short=True)
        others = [i for i, item in enumerate(tokens) if len(item) > short]
        left = [tokens[i] for i in others]
        for chosen in plan_beside(left, side_by_side) if side_by_side > 1 else plan_packed(left):
            positions = [others[i] for i in chosen]
            texts = [tokens[i] for i in positions]
            yield pack(*fill(texts, positions)) if fills else pack(texts, positions)
        return
    if device.type == "cpu":
        batches = plan_alike(tokens) if alike else plan(tokens, CPU_TOKENS)
    else:
        batches = plan(tokens, ACCELERATOR_TOKENS)
    for positions in batches:
        yield collate([tokens[i] for i in positions], tokenizer, style, device, positions)


def encoded(
    batches: Iterator[Batch], infer: Callable[[Batch], list[Encoding]], side_by_side: bool
) -> Iterator[tuple[int, Encoding]]:
    """Position and encoding of each text, batch after batch, which may be computed in threads side by side."""

    def run(batch: Batch) -> tuple[Batch, list[Encoding]]:
        with torch.inference_mode():  # of the thread that asks for it
            return batch, infer(batch)

    for batch, found in threads.each(run, list(batches)) if side_by_side else map(run, batches):
        yield from zip(batch.positions, found, strict=True)


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
