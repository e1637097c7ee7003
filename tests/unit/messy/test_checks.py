"""What compares two states of an index says what differs."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.messy.checks import plain, same


def test_what_is_the_same_passes() -> None:
    same("documents", {"a": {"n": Decimal("1.50")}}, {"a": {"n": Decimal("1.5")}})


def test_what_differs_is_named() -> None:
    said = r"documents: 2 of 2 differ\n'a': 2\n   not 1\n'c': 3\n   not '\(absent\)'"
    with pytest.raises(AssertionError, match=said):
        same("documents", {"a": 2, "b": 1, "c": 3}, {"a": 1, "b": 1})
    with pytest.raises(AssertionError, match=r"total: 3\n   not 4"):
        same("total", 3, 4)


def test_numbers_are_read_as_others_read_them() -> None:
    assert plain({"a": [Decimal("0.5"), 2**60, None]}) == {"a": [0.5, 2**60, None]}
