"""What an upgrade copies into a successor index, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sidecar.errors import ChercheError, Code
from sidecar.maintenance.copying import Copy, index_before
from sidecar.maintenance.work import Outcome
from sidecar.values.documents import StoredDocument, Version
from sidecar.values.maintenance import Serving
from tests.unit.sidecar.conftest import World
from tests.unit.sidecar.maintenance.fakes import FakeSuccessors


def read(id: str, seq_no: int = 1, routing: str = "", **source: Any) -> StoredDocument:
    return StoredDocument(id, source, is_complete=False, version=Version(seq_no, 1, "old", routing))


@pytest.fixture
def successors() -> FakeSuccessors:
    return FakeSuccessors()


@pytest.fixture
def copy(world: World, successors: FakeSuccessors) -> Copy:
    return Copy.of(successors, "new", world.set_up(), world.context)


def counts(outcome: Outcome) -> dict[str, int]:
    return {name: count for name, count in outcome.counts.items() if count}


async def test_a_document_is_placed_once_with_its_routing(copy: Copy, successors: FakeSuccessors, world: World) -> None:
    page = [read("1", routing="r", text="blue sky"), read("2", text="sea")]
    assert counts(await copy.work(page, world.context)) == {"read": 2, "encoded": 2}
    assert [(one.document.id, one.routing, one.over) for one in successors.placed] == [
        ("1", "r", None),
        ("2", "", None),
    ]
    assert successors.placed[0].document.features
    passes = len(world.encoder.calls)
    assert counts(await copy.work(page, world.context)) == {"read": 2, "kept": 2}
    assert len(world.encoder.calls) == passes


async def test_a_document_of_which_any_field_changed_is_placed_over_the_one_before(
    copy: Copy, successors: FakeSuccessors, world: World
) -> None:
    await copy.work([read("1", text="sky", year=1)], world.context)
    held = successors.documents["1"].version
    assert counts(await copy.work([read("1", text="sky", year=2)], world.context)) == {"read": 1, "encoded": 1}
    assert successors.placed[-1].over == held
    assert successors.placed[-1].document.source == {"text": "sky", "year": 2}


async def test_what_cannot_be_encoded_is_not_lost(copy: Copy, successors: FakeSuccessors, world: World) -> None:
    page = [read("empty", year=1), read("poison", text="poison"), read("good", text="sky")]
    outcome = await copy.work(page, world.context)
    assert counts(outcome) == {"read": 3, "encoded": 1, "skipped": 1, "failed": 1}
    assert [(one.id, one.index) for one in outcome.not_done] == [("poison", "old")]
    placed = {one.document.id: one.document for one in successors.placed}
    assert placed["empty"].state == "no_text"
    assert (placed["poison"].state, placed["poison"].hash, placed["poison"].source) == (
        "failed",
        "",
        {"text": "poison"},
    )
    before = len(successors.placed)
    await copy.work(page, world.context)
    assert len(successors.placed) == before, "it is there as it is"


async def test_what_was_written_after_the_switch_is_left_alone(
    copy: Copy, successors: FakeSuccessors, world: World
) -> None:
    settled = replace(copy, newer=frozenset("1"))
    outcome = await settled.work([read("1", text="old"), read("2", text="old")], world.context)
    assert counts(outcome) == {"read": 2, "kept": 1, "encoded": 1}
    assert set(successors.documents) == {"2"}


@pytest.mark.parametrize(
    ("code", "expected", "is_refused"),
    [
        (Code.ABORTED, {"read": 1, "conflicts": 1}, False),
        (Code.INVALID_ARGUMENT, {"read": 1, "failed": 1}, False),
        (Code.RESOURCE_EXHAUSTED, {"read": 1, "failed": 1}, True),
    ],
)
async def test_a_placement_that_is_refused_is_counted(
    copy: Copy, successors: FakeSuccessors, world: World, code: Code, expected: dict[str, int], is_refused: bool
) -> None:
    successors.refused["1"] = ChercheError(code, "refused")
    outcome = await copy.work([read("1", text="sky")], world.context)
    assert (counts(outcome), outcome.refused) == (expected, is_refused)


def test_a_copy_into_another_index_reads_everything_again(copy: Copy) -> None:
    assert replace(copy, to="another").purpose != copy.purpose


@pytest.mark.parametrize(
    ("found", "serving", "reason"),
    [
        (Serving(False, ("a",)), Serving(False, ("a",), replaced=("b",)), "replaced no other index"),
        (Serving(True, ("a",)), Serving(False, ("a",)), "replaced no other index"),
        (Serving(True, ("a",)), Serving(False, ("a",), replaced=("b", "c")), "replaced no other index"),
        (Serving(True, ("a",)), Serving(False, ("a",), replaced=("b",), is_back=True), "'a' serves again, in place"),
    ],
)
def test_a_rollback_needs_one_index_that_was_replaced(found: Serving, serving: Serving, reason: str) -> None:
    with pytest.raises(ChercheError, match=reason) as refused:
        index_before("books", found, serving)
    assert refused.value.next_step
    assert index_before("books", Serving(True, ("a",)), Serving(False, ("a",), replaced=("b",))) == "b"
