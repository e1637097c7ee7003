"""Passages of a hit: what of its text answers the query. Frozen, no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cherche_models.passages import SIZE
from sidecar.errors import invalid

MOST_PASSAGES = 10
LONGEST_PASSAGE = 512


@dataclass(frozen=True, slots=True)
class PassageOptions:
    """Which passages of a hit are looked for.

    Attributes
    ----------
    count : int
        Most passages of a hit.
    size : int
        Tokens of a passage.
    fields : tuple of str
        Where they are looked for; empty for all fields that are encoded.
    """

    count: int = 1
    size: int = SIZE
    fields: tuple[str, ...] = ()

    def check(self, encoded: Iterable[str]) -> None:
        """Refuse what cannot be found.

        Raises
        ------
        ChercheError
            INVALID_ARGUMENT naming the number that is out of bounds, or the field that is not encoded.
        """
        for name, value, most in (("count", self.count, MOST_PASSAGES), ("size", self.size, LONGEST_PASSAGE)):
            if not 1 <= value <= most:
                raise invalid(f"{name} of passages is {value}", f"give 1 to {most}")
        known = tuple(encoded)
        for field in self.fields:
            if field not in known:
                raise invalid(f"the index does not encode field {field!r}", f"look in {' or '.join(known)}")


@dataclass(frozen=True, slots=True)
class PassageAnswer:
    """A query token, and the characters of the field's value that answer it best within a passage."""

    query_token: str
    start: int
    end: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of one value of a field.

    Attributes
    ----------
    field : str
        A field that the index encodes.
    element : int
        Which of its values, from 0, as they stand in the document, null included; 0 where it holds one.
    start, end : int
        Characters of that value as it is stored, counted in Unicode code points; of a number or boolean, of its JSON.
    text : str
        The value from `start` to `end`.
    score : float
        MaxSim of the query with the passage's tokens: those of its `answers`, and special tokens of the query.
    answers : tuple of PassageAnswer
        Of each token of the query's text.
    encoded_now : bool
        Whether the text was encoded for this search, as the index has no vector of each of its tokens as they are.
    """

    field: str
    element: int
    start: int
    end: int
    text: str
    score: float
    answers: tuple[PassageAnswer, ...] = ()
    encoded_now: bool = False
