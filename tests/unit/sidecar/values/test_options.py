"""Rows are read from fields, and their bounds are kept."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import ChercheError, Code
from sidecar.values.index import IndexOptions
from sidecar.values.options import Option, check_bounds, options
from sidecar.values.search import SearchRequest


@dataclass(frozen=True, slots=True)
class Sample:
    name: Annotated[str, Option("Its name.")]
    way: Annotated[Literal["here", "there"], Option("Where.", keeps_order="it is a sample")] = "here"
    count: Annotated[int, Option("How many.", least=1, most=9, unset="five")] = 0
    share: Annotated[float | None, Option("How much.", above=0, unset="all")] = None
    parts: Annotated[tuple[str, ...], Option("Which.", wire="part_names")] = ()
    body: Annotated[dict[str, int], Option("The rest.")] = field(default_factory=dict)


def test_a_row_is_completed_by_its_field() -> None:
    rows = options(Sample)
    assert list(rows) == ["name", "way", "count", "share", "parts", "body"]
    assert (rows["way"].kind, rows["way"].choices, rows["way"].default) == (str, ("here", "there"), "here")
    assert (rows["share"].kind, rows["parts"].kind, rows["body"].kind) == (float, tuple, dict)
    assert (rows["body"].default, rows["name"].default) == ({}, None)
    assert (rows["parts"].wire, rows["count"].wire) == ("part_names", "count")


@pytest.mark.parametrize("count", [0, 1, 9])
def test_numbers_within_the_bounds_pass_and_so_does_the_default(count: int) -> None:
    check_bounds(Sample("a", count=count, share=None))


@pytest.mark.parametrize(
    ("given_", "reason", "step"),
    [
        ({"count": -1}, "count is -1", "give 1 to 9, or 0 for five"),
        ({"count": 10}, "count is 10", "give 1 to 9, or 0 for five"),
        ({"share": 0.0}, "share is 0.0", "give more than 0, or nothing for all"),
        ({"share": math.nan}, "share is nan", "give more than 0, or nothing for all"),
        ({"share": math.inf}, "share is inf", "give more than 0, or nothing for all"),
    ],
)
def test_a_number_out_of_bounds_is_named_with_what_is_within(given_: dict[str, float], reason: str, step: str) -> None:
    with pytest.raises(ChercheError) as caught:
        check_bounds(replace(Sample("a"), **given_))  # type: ignore[arg-type]  # parametrized fields
    assert (caught.value.code, caught.value.reason, caught.value.next_step) == (Code.INVALID_ARGUMENT, reason, step)


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_bounds_hold_for_every_number(value: float) -> None:
    row = options(SearchRequest)["rerank_weight"]
    try:
        row.check(value)
    except ChercheError:
        assert not 0 <= value <= 1
    else:
        assert 0 <= value <= 1


@pytest.mark.parametrize("kind", [SearchRequest, IndexOptions])
def test_every_row_says_what_its_default_stands_for_in_one_line(kind: type) -> None:
    for row in options(kind).values():
        assert row.help.endswith("."), row.name
        assert "\n" not in row.help
        assert not (row.unset and row.default), f"{row.name} has a default, so nothing is unset"
        bounded = row.kind in (int, float)
        assert bounded == any(bound is not None for bound in (row.least, row.most, row.above)), row.name
