"""Sequences whose items are made when they are looked at."""

from __future__ import annotations

import pytest

from sidecar.values.made import Made


def test_it_makes_what_is_looked_at_and_nothing_else() -> None:
    made: list[int] = []

    def make(place: int) -> int:
        made.append(place)
        return 10 * place

    tens = Made(5, make)
    assert (len(tens), bool(tens), made) == (5, True, [])
    assert (tens[1], tens[-1], tens[1:3], tens[9:]) == (10, 40, (10, 20), ())
    assert made == [1, 4, 2]
    with pytest.raises(IndexError):
        tens[5]
    assert list(tens) == [0, 10, 20, 30, 40]


def test_it_equals_another_sequence_of_the_same_items() -> None:
    tens = Made(3, lambda place: 10 * place)
    assert tens == (0, 10, 20)
    assert tens == Made(3, lambda place: place * 10)
    assert tens != (0, 10)
    assert tens != 10
    with pytest.raises(TypeError):
        hash(tens)
