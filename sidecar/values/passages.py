"""Passages of a hit: what of its text answers the query. Frozen, no I/O."""

from __future__ import annotations

from dataclasses import dataclass


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
