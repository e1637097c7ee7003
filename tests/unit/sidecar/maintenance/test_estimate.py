"""What a backfill is said to take before it begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from cherche_models.types import Tokens
from sidecar.errors import ChercheError, Code
from sidecar.maintenance.estimate import UNMERGED, estimate, peak_bytes, sample_texts
from sidecar.values.index import IndexGroup
from sidecar.values.maintenance import Estimate, Room
from sidecar.values.model import Encoded, Kind
from tests.clock import Clock
from tests.unit.sidecar.maintenance.fakes import INDEX, FileWorld, last


async def test_a_dry_run_encodes_a_sample_and_writes_nothing(file_world: FileWorld) -> None:
    await file_world.fill(100)
    [estimate] = await file_world.run(dry_run=True)
    assert isinstance(estimate, Estimate)
    assert (estimate.documents, estimate.to_encode, estimate.sampled) == (100, 100, 64)
    assert estimate.stored_bytes > 100
    assert (await file_world.engine.stats(INDEX)).encoded == 0


@pytest.mark.parametrize(
    ("pace", "passes"),
    [
        pytest.param(0.0, [8, 56], id="at once"),
        pytest.param(0.05, [8, 56], id="within the time"),
        pytest.param(0.25, [8, 12], id="as many as the time allows"),
        pytest.param(3.0, [8], id="beside a busy lane"),
    ],
)
async def test_a_sample_is_as_large_as_some_seconds_allow(
    file_world: FileWorld, monkeypatch: pytest.MonkeyPatch, pace: float, passes: list[int]
) -> None:
    """A client takes a sidecar that says nothing for long for lost, and the estimate is the first that it says."""
    meta = await file_world.fill(100)
    clock, encode = Clock(), file_world.encoder.encode_tokens

    async def slowly(tokens: Sequence[Tokens], kind: Kind, **others: Any) -> list[Encoded | ChercheError]:
        clock.now += pace * len(tokens)
        return await encode(tokens, kind, **others)

    monkeypatch.setattr(file_world.encoder, "encode_tokens", slowly)
    expected = await estimate([IndexGroup((INDEX,), meta)], replace(file_world.context, clock=clock))
    assert [count for _, count in file_world.encoder.calls] == passes
    assert (expected.sampled, expected.to_encode) == (sum(passes), 100)
    assert expected.seconds == pytest.approx(100 * pace)
    assert expected.stored_bytes > 100


async def test_a_disk_that_may_not_suffice_is_refused_before_anything_is_written(file_world: FileWorld) -> None:
    await file_world.fill(10)
    file_world.engine.disk = Room(free=1, store=1000, copies=2)
    with pytest.raises(ChercheError, match="low disk watermark") as caught:
        await file_world.run()
    assert caught.value.code is Code.FAILED_PRECONDITION
    assert (await file_world.engine.stats(INDEX)).encoded == 0
    assert last(await file_world.run(ignore_disk=True)).encoded == 10


async def test_the_share_of_stale_documents_in_the_sample_is_encoded_too(file_world: FileWorld) -> None:
    meta = await file_world.fill(20)
    await file_world.run()
    stored = await file_world.engine.read(INDEX, [str(i) for i in range(5)])
    await file_world.engine.write(INDEX, [replace(one, source={"text": "another"}) for one in stored.values()])
    expected = await estimate([IndexGroup((INDEX,), meta)], file_world.context)
    assert (expected.documents, expected.to_encode) == (20, 5)
    assert (await estimate([IndexGroup((INDEX,), meta)], file_world.context, everything=True)).to_encode == 20


async def test_a_document_that_had_no_text_and_has_one_now_is_to_be_encoded(file_world: FileWorld) -> None:
    meta = await file_world.fill(1)
    await file_world.write(("empty", {"title": ""}))
    assert last(await file_world.run()).skipped == 1
    groups = [IndexGroup((INDEX,), meta)]
    assert (await estimate(groups, file_world.context)).to_encode == 0
    empty = (await file_world.engine.read(INDEX, ["empty"]))["empty"]
    await file_world.engine.write(INDEX, [replace(empty, source={"title": "not any more"})])
    assert (await estimate(groups, file_world.context)).to_encode == 1


async def test_an_index_that_is_not_set_up_is_left_out_with_the_next_step(file_world: FileWorld) -> None:
    await file_world.fill(3)
    expected = await estimate([IndexGroup((INDEX,), None)], file_world.context)
    assert expected.documents == 0
    assert expected.notes == ("articles: not set up, left out — run: cherche setup articles",)


async def test_probes_are_beginnings_of_texts_that_hold_something(file_world: FileWorld) -> None:
    meta = await file_world.fill(1, "one two three four five six seven")
    await file_world.write(("empty", {"title": ""}))
    assert await sample_texts(INDEX, meta, file_world.context) == ["title 0 one two three four"]


def test_documents_that_are_written_anew_take_twice_their_room_and_what_is_added_more() -> None:
    room = Room(free=0, store=1000, copies=1)
    assert peak_bytes(0, 10, 5.0, room) == 0
    assert peak_bytes(10, 10, 5.0, room) == 10 * (2 * 100 + UNMERGED * 5)
    assert peak_bytes(10, 10, 5.0, Room(free=0, store=2000, copies=2)) == 2 * peak_bytes(10, 10, 5.0, room)
