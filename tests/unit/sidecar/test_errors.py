"""Errors travel between processes whole."""

from __future__ import annotations

import pickle

import pytest

from sidecar.engines.opensearch.errors import TooManyClauses
from sidecar.errors import (
    MOST_QUOTED,
    MOST_SAID,
    ChercheError,
    Code,
    invalid,
    item_name,
    masked,
    masked_address,
    naming,
    nearest,
    overloaded,
    quoted,
    said,
)


@pytest.mark.parametrize(
    "error",
    [ChercheError(Code.NOT_FOUND, "no such index", "name one"), overloaded("busy", 2.0), TooManyClauses("long")],
)
def test_an_error_can_be_pickled(error: ChercheError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://ada:hunter2@cluster:9200/books", "https://***@cluster:9200/books"),
        ("from http://ada:hunter2@a:1 to http://eve:p@ss@b:2", "from http://***@a:1 to http://***@b:2"),
        ("https://hunter2@cluster", "https://***@cluster"),
        ("https://cluster:9200/a@b and ada@example.org", "https://cluster:9200/a@b and ada@example.org"),
    ],
)
def test_credentials_of_urls_are_masked_in_every_error(text: str, expected: str) -> None:
    assert masked(text) == expected
    error = invalid(text, text)
    assert (error.reason, error.next_step) == (expected, expected)
    assert "hunter2" not in f"{error} {error!r} {error.args}"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("ada:hunter2@cluster:9200", "***@cluster:9200"),
        ("https://ada:hun/ter2@cluster:9200", "https://***@cluster:9200"),
        ("dns:///sidecar:50551", "dns:///sidecar:50551"),
        ("", ""),
    ],
)
def test_an_address_is_masked_with_or_without_a_scheme(address: str, expected: str) -> None:
    assert masked_address(address) == expected


@pytest.mark.parametrize("text", ["x" * 5_000, "two words " * 1_000, "é" * 70_000, "x" * MOST_SAID])
def test_a_message_is_bounded_and_keeps_both_ends(text: str) -> None:
    error = invalid(f"model {text} is not served", f"serve {text} = PATH")
    assert MOST_SAID - 10 < len(error.reason) <= MOST_SAID
    assert len(error.next_step) <= MOST_SAID
    assert error.reason.startswith("model ")
    assert error.reason.endswith(" is not served")
    assert "left out" in error.reason
    assert said(error.reason) == error.reason, "what comes over the wire is not cut again"


def test_credentials_are_masked_before_a_text_is_cut() -> None:
    for before in range(40):
        reason = invalid("x" * (MOST_SAID - before) + " https://ada:hunter2@cluster:9200 " + "y" * 5_000).reason
        assert "hunt" not in reason
        assert "ada" not in reason


def test_a_quotation_is_bounded() -> None:
    assert quoted("articles") == "'articles'"
    assert len(quoted("x" * 10_000)) <= MOST_QUOTED + 2
    assert len(quoted({"x" * 10_000: 1})) <= MOST_QUOTED
    assert (
        item_name("document", 0, "x" * 10_000)
        in naming(invalid("it is empty"), item_name("document", 0, "x" * 10_000)).reason
    )
    assert nearest("x" * 10_000, ["x" * 10_000]) == ""
