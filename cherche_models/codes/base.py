"""What every codec of token embeddings provides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cherche_models.codes.codebook import Codebook
from cherche_models.types import Floats


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes behind the header of one document's codes, and the shape that the header gives."""

    dim: int
    tokens: int
    data: memoryview


@dataclass(frozen=True, eq=False)
class Codec(ABC):
    """One way to write token embeddings as bytes.

    Attributes
    ----------
    name : str
        As settings and the command line spell it; letters and digits.
    number : int
        In the header of stored codes, 1 to 255: it never changes.
    summary : str
        What a vector takes, for help texts.
    needs_codebook : bool
        Whether `encode` needs a codebook.
    largest : float
        No component may exceed it in size.
    """

    name: str
    number: int
    summary: str
    needs_codebook: bool = False
    largest: float = float(np.finfo(np.float16).max)

    @abstractmethod
    def size(self, dim: int, tokens: int) -> int:
        """Bytes of a body."""

    @abstractmethod
    def encode(self, vectors: Floats, book: Codebook | None) -> bytes:
        """The body of some tokens.

        Parameters
        ----------
        vectors : float32 array, shape (tokens, dim)
            Finite, and within `largest`.
        book : Codebook or None
            The model's; None where it has none.

        Raises
        ------
        ValueError
            If the codec cannot hold the vectors, or needs a codebook that is missing or of another width.
        """

    @abstractmethod
    def decode(self, bodies: Sequence[Body], dim: int) -> Floats:
        """All rows of one or more checked bodies of one width and one codebook, in order, shape (rows, dim).

        Raises
        ------
        CodecError
            If their codebook is unknown here.
        """

    @abstractmethod
    def check(self, body: Body) -> None:
        """Refuse a body of the right size that would not decode to numbers.

        Raises
        ------
        CodecError
        """

    def digest(self, body: Body) -> str:
        """The beginning of the digest of the codebook that a body names; empty for a codec without codebooks."""
        return ""

    def codebook(self, body: Body) -> Codebook | None:
        """The codebook that decodes a body, checked against it; None for a codec without codebooks.

        Raises
        ------
        CodecError
            If it is unknown here, of another width, or too small for the body.
        """
        return None
