"""Pruning of term weights before they are stored or queried."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cherche_models.types import TermWeights

Kind = Literal["none", "top_k", "max_ratio", "alpha_mass", "min_weight"]
KINDS: tuple[Kind, ...] = ("none", "top_k", "max_ratio", "alpha_mass", "min_weight")

_NUMBER = re.compile(r"[0-9]*\.?[0-9]+(e[+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Prune:
    """A pruning rule; written ``none`` or ``kind:value`` (``top_k:128``, ``max_ratio:0.1``).

    Attributes
    ----------
    kind : {"none", "top_k", "max_ratio", "alpha_mass", "min_weight"}
    value : float
        Number of terms to keep; minimum share of the largest weight; share of the total weight
        to keep; minimum weight.

    Raises
    ------
    ValueError
        If the value is outside the kind's range.
    """

    kind: Kind = "none"
    value: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Prune:
        """Parse a rule; the inverse of `str`.

        Raises
        ------
        ValueError
            Naming the valid forms.

        >>> Prune.parse("top_k:128")
        Prune(kind='top_k', value=128.0)
        """
        if text == "none":
            return cls()
        name, _, number = text.partition(":")
        kind = next((known for known in KINDS[1:] if known == name), None)
        if kind is None or not _NUMBER.fullmatch(number):
            raise ValueError(f"prune {text!r} is not one of none, {', '.join(f'{k}:N' for k in KINDS[1:])}")
        return cls(kind, float(number))

    def __post_init__(self) -> None:
        if self.kind == "none":
            return
        bounded = self.kind in ("max_ratio", "alpha_mass")
        whole = self.kind == "top_k"
        if not 0 < self.value < np.inf or (bounded and self.value > 1) or (whole and self.value != int(self.value)):
            wanted = "a whole number ≥ 1" if whole else "in (0, 1]" if bounded else "above 0"
            raise ValueError(f"prune {self.kind}:{self.value}: the value must be {wanted}")

    def __str__(self) -> str:
        if self.kind == "none":
            return "none"
        return f"{self.kind}:{int(self.value) if self.value.is_integer() else self.value!r}"

    def __call__(self, weights: TermWeights) -> TermWeights:
        """Prune a text's terms; the one with the largest weight is always kept.

        Rules are idempotent except alpha_mass, whose share refers to the remaining weight.

        >>> Prune("top_k", 1)(TermWeights.from_pairs([(1, 0.5), (2, 2.0)])).ids.tolist()
        [2]
        """
        if self.kind == "none" or len(weights) == 0:
            return weights
        kept = np.sort(_kept(self.kind, self.value, weights.weights))
        return TermWeights(weights.ids[kept], weights.weights[kept])


def _kept(kind: Kind, value: float, weights: NDArray[np.float32]) -> NDArray[np.intp]:
    """Positions to keep; among equal weights the smaller id is kept, so the result is unique."""
    order = np.argsort(-weights, kind="stable")
    heavy = weights[order].astype(np.float64)
    if kind == "top_k":
        count = int(value)
    elif kind == "max_ratio":
        count = int(np.count_nonzero(heavy >= value * heavy[0]))
    elif kind == "alpha_mass":
        # The tolerance keeps rounding of the sums from adding a term.
        count = int(np.searchsorted(np.cumsum(heavy), value * heavy.sum() * (1 - 1e-12))) + 1
    else:
        count = int(np.count_nonzero(heavy >= value))
    return order[: max(1, count)]
