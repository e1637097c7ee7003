"""Pruning: which terms of a text are worth storing or querying."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cherche_models.types import TermWeights

Kind = Literal["none", "top_k", "max_ratio", "alpha_mass", "min_weight"]
KINDS: tuple[Kind, ...] = ("none", "top_k", "max_ratio", "alpha_mass", "min_weight")


@dataclass(frozen=True, slots=True)
class Prune:
    """A pruning rule; written ``none`` or ``kind:value`` (``top_k:128``, ``max_ratio:0.1``).

    Attributes
    ----------
    kind : {"none", "top_k", "max_ratio", "alpha_mass", "min_weight"}
    value : float
        Terms kept; share of the largest weight; share of the summed weight; smallest weight.
    """

    kind: Kind = "none"
    value: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Prune:
        """Read a rule.

        Raises
        ------
        ValueError
            Naming the forms that are understood.

        >>> Prune.parse("top_k:128")
        Prune(kind='top_k', value=128.0)
        """
        name, _, number = text.partition(":")
        kind = next((known for known in KINDS if known == name), None)
        if kind is None or (kind == "none") != (number == ""):
            raise ValueError(f"prune {text!r} is not one of none, {', '.join(f'{k}:N' for k in KINDS[1:])}")
        rule = cls(kind, float(number or 0))
        rule._check(text)
        return rule

    def _check(self, text: str) -> None:
        bounded = self.kind in ("max_ratio", "alpha_mass")
        whole = self.kind == "top_k"
        if (
            not np.isfinite(self.value)
            or (self.kind != "none" and self.value <= 0)
            or (bounded and self.value > 1)
            or (whole and self.value != int(self.value))
        ):
            wanted = "a whole number ≥ 1" if whole else "in (0, 1]" if bounded else "above 0"
            raise ValueError(f"prune {text!r}: the value must be {wanted}")

    def __str__(self) -> str:
        return self.kind if self.kind == "none" else f"{self.kind}:{self.value:g}"

    def __call__(self, weights: TermWeights) -> TermWeights:
        """Keep the terms the rule keeps; at least the heaviest one stays.

        >>> Prune("top_k", 1)(TermWeights.from_pairs([(1, 0.5), (2, 2.0)])).ids.tolist()
        [2]
        """
        if self.kind == "none" or len(weights) == 0:
            return weights
        kept = np.sort(_kept(self.kind, self.value, weights.weights))
        return TermWeights(weights.ids[kept], weights.weights[kept])


def _kept(kind: Kind, value: float, weights: NDArray[np.float32]) -> NDArray[np.intp]:
    """Positions to keep. Ties fall to the smaller id, so a result is unique."""
    order = np.argsort(-weights, kind="stable")
    heavy = weights[order].astype(np.float64)
    if kind == "top_k":
        count = int(value)
    elif kind == "max_ratio":
        count = int(np.count_nonzero(heavy >= value * heavy[0]))
    elif kind == "alpha_mass":
        count = int(np.searchsorted(np.cumsum(heavy), value * heavy.sum() * (1 - 1e-12))) + 1
    else:
        count = int(np.count_nonzero(heavy >= value))
    return order[: max(1, count)]
