"""Which terms can have a weight at all, found in 8 bits; the weights themselves are computed as ever.

Of 30,000 terms a text has a few hundred. A product of int8 operands, three to five times as fast as one in float32
where the CPU has such instructions, bounds the largest logit of each term from above, by the Cauchy-Schwarz
inequality: with ``h = h' + e`` and ``w = w' + f``, h' and w' on the int8 grid,

    h · w = h' · w' + e · w + h' · f  ≤  h' · w' + |e| |w| + |h'| |f|

A term whose bound is not positive has no weight. The others, twice as many as have one, get their logits in float32,
so the result does not depend on whether there was a screen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from cherche_models.runtime.packed import runs, segment_max

CHUNK = 512
"""Vocabulary rows multiplied at once: some hundred tokens' products with them stay in a core's L2 cache."""
_PRODUCTS, _CHUNKS = 1 << 18, 4
_ROUNDING = 2.0**-14
"""Of |h| |w|: what the float32 product and this bound may be off by themselves."""
_TRIAL_TOKENS, _ROUNDS = 256, 7
ENOUGH = 1.5
"""Gain of the product that is worth a screen, which has other costs too."""
_SAMPLE = 256
_MOST = 4096
"""Terms whose logits are computed at once: a trained model has fewer for a text, and no model more memory."""
_KEPT: dict[tuple[tuple[int, ...], torch.dtype], float] = {}


class Screen:
    """A decoder in int8.

    Parameters
    ----------
    weight : Tensor, shape (vocabulary, hidden)
        On the CPU, all finite.
    bias : Tensor, shape (vocabulary,), or None

    Attributes
    ----------
    grid : int8 Tensor, shape (vocabulary, hidden)
    table : float32 Tensor, shape (3, vocabulary)
        For each term −bias, |w| and |f|, in steps of its row's grid.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        exact = weight.detach().float()
        scale = exact.abs().amax(dim=1) / 127
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        grid = (exact / scale[:, None]).round_()
        left = (exact - grid * scale[:, None]).norm(dim=1)
        zero = torch.zeros_like(scale) if bias is None else bias.detach().float()
        self.table = torch.stack([-zero, exact.norm(dim=1), left]) / scale
        self.grid = grid.to(torch.int8)
        self._versions = _versions(weight, bias)
        self._sample = _sampled(weight).clone()

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor | None) -> Screen | None:
        """None for a decoder that is not finite: the screen would hide it."""
        is_finite = all(bool(torch.isfinite(one).all()) for one in (weight, bias) if one is not None)
        return cls(weight, bias) if is_finite else None

    def fits(self, weight: Tensor, bias: Tensor | None) -> bool:
        """Whether it was made of these values: training changes them in place."""
        return self._versions == _versions(weight, bias) and torch.equal(_sampled(weight), self._sample)

    def candidates(self, hidden: Tensor, lengths: Sequence[int]) -> Tensor:
        """Terms that may have a positive logit in a text; every one that has is among them.

        Parameters
        ----------
        hidden : Tensor, shape (tokens, hidden)
            Transformed hidden states of all texts, one after another, all finite.
        lengths : sequence of int
            Tokens of each text, none 0.

        Returns
        -------
        bool Tensor, shape (texts, vocabulary)
        """
        together = runs(lengths)
        exact = hidden.float()
        largest = segment_max(exact.abs().amax(dim=1, keepdim=True), together)
        # One scale for a text, so that the maximum over its tokens can be taken of the integers.
        scale = (largest / 127).clamp_(min=torch.finfo(torch.float32).tiny * 2**24)
        spread = torch.from_numpy(np.repeat(scale.numpy(), lengths, axis=0))
        grid = (exact / spread).round_()
        norms = exact.norm(dim=1, keepdim=True)
        left = (exact - grid * spread).norm(dim=1, keepdim=True)
        bounds = segment_max(torch.cat([left + _ROUNDING * norms, norms + left], dim=1), together)
        factors = torch.cat([torch.ones_like(scale), -bounds], dim=1) / scale
        tokens = grid.to(torch.int8)
        # Few tokens, as of a query: more rows, so that the calls do not cost more than the products.
        width = CHUNK * min(max(1, _PRODUCTS // (len(tokens) * CHUNK)), _CHUNKS)
        parts = []
        for rows, table in zip(torch.split(self.grid, width), torch.split(self.table, width, dim=1), strict=True):
            best = segment_max(torch._int_mm(tokens, rows.t()), together)
            parts.append(best.float() > factors @ table)
        return torch.cat(parts, dim=1)


def positive_logits(
    hidden: Tensor, lengths: Sequence[int], weight: Tensor, bias: Tensor | None, screen: Screen | None
) -> tuple[Tensor, Tensor, list[int]]:
    """Terms with a positive largest logit, of texts on the CPU.

    Parameters
    ----------
    hidden : Tensor, shape (tokens, hidden)
        Transformed hidden states of all texts, one after another, all finite.
    lengths : sequence of int
        Tokens of each text, none 0.
    weight : Tensor, shape (vocabulary, hidden)
    bias : Tensor, shape (vocabulary,), or None
    screen : Screen or None
        Of this decoder; None to multiply all terms in the type of the model.

    Returns
    -------
    terms : int64 Tensor, shape (found,)
        Ascending in each text.
    logits : float32 Tensor, shape (found,)
        Bias included; NaN is kept.
    counts : list of int
        How many of them each text has.
    """
    if screen is None:
        terms, logits, texts = _all_logits(hidden, lengths, weight, bias)
    else:
        terms, logits, texts = _screened_logits(hidden, lengths, weight, bias, screen)
    # Engines refuse subnormal weights; NaN is for the caller to report.
    kept = ~(logits < torch.finfo(torch.float32).tiny)
    return terms[kept], logits[kept], torch.bincount(texts[kept], minlength=len(lengths)).tolist()


def _all_logits(
    hidden: Tensor, lengths: Sequence[int], weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    together = runs(lengths)
    rows = weight.to(hidden.dtype)
    best = torch.cat([segment_max(hidden @ part.T, together) for part in torch.split(rows, CHUNK)], dim=1).float()
    if bias is not None:
        best += bias.float()
    places = torch.from_numpy(np.flatnonzero(~(best <= 0).numpy().ravel()))
    return places % best.shape[1], best.view(-1)[places], places // best.shape[1]


def _screened_logits(
    hidden: Tensor, lengths: Sequence[int], weight: Tensor, bias: Tensor | None, screen: Screen
) -> tuple[Tensor, Tensor, Tensor]:
    found = screen.candidates(hidden, lengths)
    # numpy's is a tenth of torch's `nonzero` where few are true.
    places = torch.from_numpy(np.flatnonzero(found.numpy().ravel()))
    terms, texts = places % found.shape[1], places // found.shape[1]
    counts = torch.bincount(texts, minlength=len(lengths)).tolist()
    # Text by text, in shapes that depend on the text alone: so do the last bits.
    logits = torch.cat(
        [
            (tokens @ weight[part].float().T).amax(dim=0)
            for tokens, own in zip(torch.split(hidden.float(), list(lengths)), torch.split(terms, counts), strict=True)
            for part in torch.split(own, _MOST)
        ]
    )
    return terms, logits if bias is None else logits + bias[terms].float(), texts


def kept_gain(weight: Tensor) -> float:
    """`gain`, measured once in a process for decoders of one shape and type.

    On a busy machine two measurements of one decoder fell on both sides of `ENOUGH`: copies of a model then rounded the
    last bits of a weight differently.
    """
    key = (tuple(weight.shape), weight.dtype)
    if key not in _KEPT:
        _KEPT.setdefault(key, gain(weight))  # the first one stays where two threads measure
    return _KEPT[key]


def gain(weight: Tensor, clock: Callable[[], float] = time.thread_time) -> float:
    """How many times faster this CPU multiplies by the decoder in int8 than in the decoder's type.

    0 where its int8 products are not exact: those of CPUs without VNNI may saturate.
    """
    rows, width = weight[:CHUNK].detach(), weight.shape[1]
    sign = torch.ones(_TRIAL_TOKENS, width, dtype=torch.int8) * 127
    other = torch.full((width, len(rows)), -127, dtype=torch.int8)
    try:
        if not bool((torch._int_mm(sign, other) == -127 * 127 * width).all()):
            return 0.0
    except (AttributeError, RuntimeError):
        return 0.0  # this torch has no such product for a CPU
    tokens = torch.ones(_TRIAL_TOKENS, width, dtype=weight.dtype)
    best = [float("inf")] * 2
    for _ in range(_ROUNDS):
        started = clock()
        torch.nn.functional.linear(tokens, rows)
        between = clock()
        torch._int_mm(sign, other)
        ended = clock()
        best = [min(best[0], between - started), min(best[1], ended - between)]
    return best[0] / max(best[1], 1e-9)


def _versions(weight: Tensor, bias: Tensor | None) -> list[tuple[int, int]]:
    """Where the values are, and how often they were written."""
    return [(one.data_ptr(), 0 if one.is_inference() else one._version) for one in (weight, bias) if one is not None]


def _sampled(weight: Tensor) -> Tensor:
    """Some of the values: writes through ``.data`` have no version."""
    return weight.detach().view(-1)[:: max(1, weight.numel() // _SAMPLE)]
