"""Passages are asked for within bounds, and in fields that are encoded."""

from __future__ import annotations

import pytest

from sidecar.errors import ChercheError, Code
from sidecar.values.passages import LONGEST_PASSAGE, MOST_PASSAGES, PassageOptions


@pytest.mark.parametrize(
    "wanted",
    [PassageOptions(), PassageOptions(MOST_PASSAGES, LONGEST_PASSAGE, ("text",)), PassageOptions(1, 1, ("a", "text"))],
)
def test_what_can_be_found_is_taken(wanted: PassageOptions) -> None:
    wanted.check(("a", "text"))


@pytest.mark.parametrize(
    ("wanted", "reason", "next_step"),
    [
        (PassageOptions(0), "count of passages is 0", "give 1 to 10"),
        (PassageOptions(11), "count of passages is 11", "give 1 to 10"),
        (PassageOptions(size=513), "size of passages is 513", "give 1 to 512"),
        (PassageOptions(fields=("a", "b")), "the index does not encode field 'b'", "look in a or text"),
    ],
)
def test_what_cannot_be_found_is_refused(wanted: PassageOptions, reason: str, next_step: str) -> None:
    with pytest.raises(ChercheError) as refused:
        wanted.check(("a", "text"))
    assert refused.value.code is Code.INVALID_ARGUMENT
    assert (refused.value.reason, refused.value.next_step) == (reason, next_step)
