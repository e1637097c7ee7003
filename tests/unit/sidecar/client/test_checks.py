from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.client import checks as outgoing
from sidecar.config import Limits
from sidecar.errors import ChercheError
from sidecar.values.documents import SourceDocument
from sidecar.values.encoded import Text
from sidecar.values.search import SearchRequest

LIMITS = Limits(document_bytes=10)
NAN, LETTERS, NUMBER = cast("tuple[str, str, str]", (float("nan"), ["letter"] * 9, 7))  # what an untyped caller gives


@given(st.lists(st.integers(0, 30), max_size=30), st.integers(1, 20), st.integers(1, 5))
def test_parts_hold_everything_within_both_bounds(sizes: list[int], most_bytes: int, most_items: int) -> None:
    cut = list(outgoing.parts(sizes, most_bytes, most_items))
    assert [size for part in cut for size in sizes[part]] == sizes
    assert all(part.stop - part.start <= most_items for part in cut)
    assert all(part.stop - part.start <= 1 or sum(sizes[part]) <= most_bytes for part in cut)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (Text("too long a text", "a"), "text 'a' has 15 bytes, the limit is 10"),
        (Text("a\ud800b"), "text 0 holds a lone surrogate at 1"),
        (Text("fine", "\udc00"), r"the id of text '\udc00' holds a lone surrogate"),
        (Text(NAN), "text 0 has the type float (nan)"),
        (Text(LETTERS, "a"), f"text 'a' has the type list ({LETTERS!r})"),
        (Text("fine", NUMBER), "the id of text 7 has the type int (7)"),
    ],
)
def test_what_cannot_be_sent_is_named(text: Text, reason: str) -> None:
    problem = outgoing.text_problem(text, 0, LIMITS)
    assert problem is not None
    assert problem.reason == reason
    str(problem).encode()


def test_documents_are_checked_by_their_bytes() -> None:
    assert outgoing.document_problem(SourceDocument("a", b"\xff" * 10), 0, LIMITS) is None
    assert outgoing.document_problem(SourceDocument("a", b"x" * 11), 0, LIMITS) is not None
    assert outgoing.document_problem(SourceDocument("\ud800", b"{}"), 0, LIMITS) is not None


@pytest.mark.parametrize(
    "request_",
    [SearchRequest("a", "\ud800"), SearchRequest("\ud800", "a"), SearchRequest("a", NAN)],
)
def test_searches_that_cannot_be_sent_are_refused(request_: SearchRequest) -> None:
    with pytest.raises(ChercheError):
        outgoing.check_search(request_, LIMITS)


def test_calls_carry_what_was_given_and_nothing_else() -> None:
    assert outgoing.metadata("", "") == ()
    assert outgoing.metadata("t", "Basic x") == (
        ("authorization", "Bearer t"),
        ("cherche-cluster-authorization", "Basic x"),
    )
