"""Value types: term weights, token embeddings and tokenized texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.uint32]
Floats = NDArray[np.float32]
Compat = Literal["1.4"]
"""Release of neural-cherche with which scores are compatible."""


@dataclass(frozen=True, slots=True, eq=False)
class TermWeights:
    """A sparse vector over a vocabulary.

    Attributes
    ----------
    ids : uint32 array, shape (terms,)
        Vocabulary ids, strictly increasing.
    weights : float32 array, shape (terms,)
        One positive, finite weight per id.

    Raises
    ------
    ValueError
        If the shapes differ or the ids are not strictly increasing.
    """

    ids: Ids
    weights: Floats

    def __post_init__(self) -> None:
        if self.ids.shape != self.weights.shape or self.ids.ndim != 1:
            raise ValueError(f"ids {self.ids.shape} and weights {self.weights.shape} differ in shape")
        if bool((self.ids[1:] <= self.ids[:-1]).any()):
            raise ValueError("term ids must be strictly increasing: sort them and merge repeated ones first")

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[int, float]]) -> TermWeights:
        """Build from (id, weight) pairs in any order.

        Raises
        ------
        ValueError
            If an id is repeated.

        >>> TermWeights.from_pairs([(7, 0.5), (2, 1.0)]).ids.tolist()
        [2, 7]
        """
        ordered = sorted(pairs)
        return cls(
            np.array([i for i, _ in ordered], dtype=np.uint32),
            np.array([w for _, w in ordered], dtype=np.float32),
        )

    @classmethod
    def empty(cls) -> TermWeights:
        """No terms, as for an empty text."""
        return cls(np.empty(0, np.uint32), np.empty(0, np.float32))

    def __len__(self) -> int:
        return int(self.ids.size)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, TermWeights)
            and np.array_equal(self.ids, other.ids)
            and np.array_equal(self.weights, other.weights)
        )

    __hash__ = None  # type: ignore[assignment]  # arrays are mutable; equality is by value

    def items(self) -> Iterator[tuple[int, float]]:
        """Pairs (id, weight) in increasing order of id."""
        return zip(self.ids.tolist(), self.weights.tolist(), strict=True)

    def dot(self, other: TermWeights) -> float:
        """Dot product over the shared ids, summed in float64.

        >>> a = TermWeights.from_pairs([(1, 2.0), (3, 1.0)])
        >>> a.dot(TermWeights.from_pairs([(3, 4.0), (9, 1.0)]))
        4.0
        """
        _, here, there = np.intersect1d(self.ids, other.ids, assume_unique=True, return_indices=True)
        return float(np.dot(self.weights[here].astype(np.float64), other.weights[there].astype(np.float64)))


@dataclass(frozen=True, slots=True, eq=False)
class TokenEmbeddings:
    """One L2-normalised vector per kept token of a text.

    Attributes
    ----------
    vectors : float32 array, shape (tokens, dim)
    """

    vectors: Floats

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2:
            raise ValueError(f"token embeddings need shape (tokens, dim), got {self.vectors.shape}")

    @property
    def dim(self) -> int:
        """Dimension of a vector."""
        return int(self.vectors.shape[1])

    def __len__(self) -> int:
        return int(self.vectors.shape[0])


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tokenized text, ready for a model.

    Attributes
    ----------
    ids : tuple of int
        Model input ids with special tokens, truncated to the maximum length.
    texts : tuple of str
        The token strings, parallel to `ids`; for explanations.
    total : int
        Length before truncation; larger than ``len(ids)`` if the text was truncated.
    """

    ids: tuple[int, ...]
    texts: tuple[str, ...]
    total: int

    @property
    def truncated(self) -> bool:
        """Whether the text was truncated to the maximum length."""
        return self.total > len(self.ids)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Encoding:
    """The encoding of one text.

    Attributes
    ----------
    weights : TermWeights or None
        None if the model has no sparse head.
    embeddings : TokenEmbeddings or None
        None if the model has no late-interaction head.
    unknown_language : bool
        The text is in a language unknown to the model and was not encoded.
    """

    weights: TermWeights | None
    embeddings: TokenEmbeddings | None
    unknown_language: bool = False


def lengths(items: Sequence[Tokens]) -> NDArray[np.int64]:
    """Token counts, shape (items,)."""
    return np.fromiter((len(item) for item in items), np.int64, len(items))
