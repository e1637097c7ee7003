"""The counts of a page, and why a document was not done."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.errors import ChercheError, Code, invalid, overloaded
from sidecar.maintenance.work import Outcome
from sidecar.values.documents import State, StoredDocument, Version, WriteResult

ABORTED = ChercheError(Code.ABORTED, "written meanwhile")


def document(state: State = "ok", **source: Any) -> StoredDocument:
    return StoredDocument("1", source, state=state, version=Version(3, 1, "books"))


@pytest.mark.parametrize(
    ("state", "error", "counts", "is_returned"),
    [
        ("ok", None, {"encoded": 1}, False),
        ("no_text", None, {"encoded": 0, "skipped": 1}, False),
        ("failed", None, {"encoded": 0}, False),
        ("ok", ABORTED, {"conflicts": 1}, False),
        ("ok", invalid("a strict mapping"), {}, True),
    ],
)
def test_a_write_is_counted(
    state: State, error: ChercheError | None, counts: dict[str, int], is_returned: bool
) -> None:
    outcome = Outcome()
    returned = outcome.count_write(document(state), WriteResult("1", error))
    assert dict(outcome.counts) == counts
    assert returned is (error if is_returned else None)
    assert not outcome.refused


def test_a_write_that_the_cluster_refuses_is_a_reason_to_wait() -> None:
    outcome = Outcome()
    assert outcome.count_write(document(), WriteResult("1", overloaded("429", 1.0))) is not None
    assert outcome.refused


def test_a_document_that_was_not_done_names_its_index() -> None:
    outcome = Outcome()
    outcome.drop(document(), ABORTED)
    [one] = outcome.not_done
    assert (one.id, one.index, one.error) == ("1", "books", ABORTED)
    assert outcome.counts["failed"] == 1
