"""The steps of an upgrade over an engine in a file, with aliases in a dict."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from sidecar.engines.embedded import EmbeddedEngine
from sidecar.errors import ChercheError, Code, invalid
from sidecar.maintenance import upgrade
from sidecar.maintenance.backfill import backfill
from sidecar.maintenance.setup import resolve
from sidecar.pipeline import Context, PageSigner
from sidecar.testing import FakeModel
from sidecar.values.documents import StoredDocument, Version, WriteResult
from sidecar.values.index import IndexGroup, IndexMeta, IndexOptions, TextField
from sidecar.values.maintenance import BackfillOptions, Estimate, Placement, Progress, Serving, Switched
from tests.unit.sidecar.conftest import FakeEncoder, FakeEncoders

ALIAS, OLD, NEW = "books", "books-1", "books-2"
QUIET = BackfillOptions(search_slowdown=0.0)
TWO = IndexOptions(model="two")


@dataclass
class FileSuccessors:
    """Successor indices are further indices of the file."""

    engine: EmbeddedEngine
    names: dict[str, Serving] = field(default_factory=dict)
    refused: dict[str, ChercheError] = field(default_factory=dict)
    discarded: set[str] = field(default_factory=set)

    async def serving(self, index: str) -> Serving:
        return self.names.get(index, Serving(False, (index,)))

    async def create(self, successor: str, like: str, meta: IndexMeta) -> None:
        await self.engine.setup(successor, meta)

    async def quiet(self, index: str) -> None:
        """No pipeline runs here."""

    async def held(self, index: str, documents: Sequence[StoredDocument]) -> dict[str, StoredDocument]:
        found = await self.engine.read(index, [one.id for one in documents])
        return {
            id: replace(one, terms=None, codes=None, is_complete=one.state == "ok", version=Version(0, 1))
            for id, one in found.items()
        }

    async def place(self, index: str, placements: Sequence[Placement]) -> list[WriteResult]:
        answers = {one.document.id: self.refused.get(one.document.id) for one in placements}
        await self.engine.write(index, [one.document for one in placements if answers[one.document.id] is None])
        return [WriteResult(id, error) for id, error in answers.items()]

    async def discard(self, documents: Sequence[StoredDocument]) -> list[WriteResult]:
        self.discarded |= {one.id for one in documents}
        return [WriteResult(one.id) for one in documents]

    async def absent(self, index: str, documents: Sequence[StoredDocument]) -> list[StoredDocument]:
        there = await self.engine.read(index, [one.id for one in documents])
        return [one for one in documents if one.id not in there]

    async def announce(
        self, old: str, new: str, read: Mapping[str, int], marks: Mapping[str, int], *, is_back: bool = False
    ) -> None:
        known = await self.serving(new)
        self.names[new] = replace(known, replaced=(old,), read=read, marks=marks, is_back=is_back)
        self.names[old] = replace(await self.serving(old), successor=new)

    async def switch(self, alias: str, old: Sequence[str], new: Sequence[str]) -> None:
        self.names[alias] = Serving(True, tuple(new))


class Aliased(EmbeddedEngine):
    """An engine that knows aliases."""

    fake: FileSuccessors

    async def successors(self) -> Any:
        return self.fake


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Aliased]:
    found = Aliased(tmp_path / "index.sqlite")
    found.fake = FileSuccessors(found, {ALIAS: Serving(True, (OLD,))})
    yield found
    await found.aclose()


@pytest.fixture
async def context(engine: Aliased) -> Context:
    """Two models, and an index of three documents that the first of them encoded."""

    async def sleep(seconds: float) -> None:
        return None

    encoders = FakeEncoders([FakeEncoder(FakeModel(name="one")), FakeEncoder(FakeModel(name="two", buckets=512))])
    found = Context(engine, encoders, PageSigner(b"k" * 16), sleep=sleep)
    await engine.setup(OLD, resolve(IndexOptions(model="one"), found))
    await engine.write(OLD, [StoredDocument(str(i), {"text": f"text {i}"}, state="pending") for i in range(3)])
    async for _ in backfill(OLD, QUIET, found):
        pass
    return found


async def taken(step: AsyncGenerator[Any, None]) -> list[Any]:
    return [event async for event in step]


async def test_a_successor_is_filled_beside_the_index_that_serves(context: Context, engine: Aliased) -> None:
    events = await taken(upgrade.prepare(ALIAS, TWO, NEW, QUIET, context))
    assert isinstance(events[0], Estimate)
    assert (events[0].documents, events[0].to_encode) == (3, 3)
    assert next(event for event in reversed(events) if isinstance(event, Progress)).encoded == 3
    assert events[-1] == Switched(ALIAS, (NEW,), (OLD,))
    assert (await engine.stats(NEW)).encoded == 3
    assert engine.fake.names[ALIAS].names == (OLD,), "it serves until the switch"


async def test_what_was_written_since_is_copied_by_the_switch_and_what_is_gone_is_taken_out(
    context: Context, engine: Aliased
) -> None:
    await taken(upgrade.prepare(ALIAS, TWO, NEW, QUIET, context))
    await engine.write(OLD, [StoredDocument("late", {"text": "late"}, state="pending")])
    await engine.write(NEW, [StoredDocument("deleted", {"text": "deleted from the old index"}, state="pending")])
    events = await taken(upgrade.switch(ALIAS, "", QUIET, context))
    assert events[-1] == Switched(ALIAS, (NEW,), (OLD,))
    assert engine.fake.names[ALIAS].names == (NEW,)
    assert (await engine.read(NEW, ["late"]))["late"].state == "ok"
    assert engine.fake.discarded == {"deleted"}


async def test_the_index_before_serves_again_with_what_was_written_since(context: Context, engine: Aliased) -> None:
    await taken(upgrade.prepare(ALIAS, TWO, NEW, QUIET, context))
    await taken(upgrade.switch(ALIAS, "", QUIET, context))
    await engine.write(NEW, [StoredDocument("1", {"text": "rewritten"}, state="pending")])
    events = await taken(upgrade.rollback(ALIAS, QUIET, context))
    assert events[-1] == Switched(ALIAS, (OLD,), (NEW,))
    stored = (await engine.read(OLD, ["1"]))["1"]
    assert (stored.source, stored.state) == ({"text": "rewritten"}, "ok")


async def test_a_second_rollback_is_refused_and_one_after_going_forward_again_is_not(
    context: Context, engine: Aliased
) -> None:
    for _ in range(2):
        await taken(upgrade.prepare(ALIAS, TWO, NEW, QUIET, context))
        await taken(upgrade.switch(ALIAS, "", QUIET, context))
        assert engine.fake.names[ALIAS].names == (NEW,)
        assert (await taken(upgrade.rollback(ALIAS, QUIET, context)))[-1] == Switched(ALIAS, (OLD,), (NEW,))
        with pytest.raises(ChercheError, match="rolled back already: 'books-1' serves again") as refused:
            await taken(upgrade.rollback(ALIAS, QUIET, context))
        assert refused.value.code is Code.FAILED_PRECONDITION
        assert refused.value.next_step == f"to go forward again run: cherche upgrade {ALIAS}, with the options of then"
        assert engine.fake.names[ALIAS].names == (OLD,)


async def test_an_alias_is_not_switched_to_an_index_that_lacks_documents(context: Context, engine: Aliased) -> None:
    engine.fake.refused["1"] = invalid("a strict mapping")
    events = await taken(upgrade.prepare(ALIAS, TWO, NEW, QUIET, context))
    assert [event.id for event in events if not isinstance(event, Estimate | Progress | Switched)] == ["1"]
    with pytest.raises(ChercheError, match="holds 2 documents, 'books-1' 3: the alias was not switched"):
        await taken(upgrade.switch(ALIAS, "", QUIET, context))
    assert engine.fake.names[ALIAS].names == (OLD,)


async def test_a_dry_run_makes_no_index(context: Context, engine: Aliased) -> None:
    [event] = await taken(upgrade.prepare(ALIAS, TWO, NEW, replace(QUIET, dry_run=True), context))
    assert isinstance(event, Estimate)
    with pytest.raises(ChercheError) as missing:
        await engine.stats(NEW)
    assert missing.value.code is Code.NOT_FOUND


async def test_what_cannot_be_switched_is_refused_with_the_next_step(context: Context, engine: Aliased) -> None:
    engine.fake.names["many"] = Serving(True, (OLD, "books-0"))
    refusals = {
        "stands for 2 indices": upgrade.prepare("many", TWO, NEW, QUIET, context),
        "encoded with 'one' and these options already": upgrade.prepare(
            ALIAS, IndexOptions(model="one"), NEW, QUIET, context
        ),
        "no index is prepared to follow": upgrade.switch(ALIAS, "", QUIET, context),
        "was not prepared to follow": upgrade.switch(ALIAS, "books-9", QUIET, context),
        "replaced no other index": upgrade.rollback(ALIAS, QUIET, context),
    }
    for reason, step in refusals.items():
        with pytest.raises(ChercheError, match=reason) as refused:
            await taken(step)
        assert refused.value.code is Code.FAILED_PRECONDITION
        assert refused.value.next_step


async def test_the_same_model_with_other_fields_is_an_upgrade(context: Context, engine: Aliased) -> None:
    """Its name follows from the fields too: what was copied for others is not taken for it."""
    more = IndexOptions(model="one", fields=(TextField("text"), TextField("notes")))
    end = (await taken(upgrade.prepare(ALIAS, more, "", QUIET, context)))[-1]
    [first] = end.serving
    fewer = IndexOptions(model="one", fields=(TextField("notes"),))
    end = (await taken(upgrade.prepare(ALIAS, fewer, "", QUIET, context)))[-1]
    assert len({OLD, first, *end.serving}) == 3
    assert (await engine.stats(first)).encoded == 3


async def test_an_index_is_not_copied_onto_itself(context: Context, engine: Aliased) -> None:
    served = [OLD]
    for _ in range(3):
        [new] = (await taken(upgrade.prepare(ALIAS, IndexOptions(), "", QUIET, context)))[-1].serving
        assert new != served[-1]
        await taken(upgrade.switch(ALIAS, "", QUIET, context))
        served.append(new)
    assert served[1] == served[3], "that of an attempt that was cut off is taken up"
    assert (await engine.stats(served[-1])).encoded == 3


@pytest.mark.parametrize(
    ("lacks", "reason"),
    [
        ({"lost": ("secret.*",)}, r"_source leaves out secret\.\*, which every document"),
        ({"hidden": ("cherche_digest",)}, "_source leaves out cherche_digest, without which nobody sees"),
    ],
)
async def test_an_index_whose_source_lacks_fields_is_neither_copied_nor_encoded(
    context: Context, engine: Aliased, monkeypatch: pytest.MonkeyPatch, lacks: dict[str, Any], reason: str
) -> None:
    [whole] = await engine.groups(OLD)

    async def groups(index: str) -> tuple[IndexGroup, ...]:
        return (replace(whole, **lacks),)

    monkeypatch.setattr(engine, "groups", groups)
    for work in (upgrade.prepare(ALIAS, TWO, NEW, QUIET, context), backfill(OLD, QUIET, context)):
        with pytest.raises(ChercheError, match=reason) as refused:
            await taken(work)
        assert refused.value.code is Code.FAILED_PRECONDITION


async def test_an_index_is_replaced_by_an_alias_only_if_that_was_said(context: Context, engine: Aliased) -> None:
    await taken(upgrade.prepare(OLD, TWO, NEW, QUIET, context))
    with pytest.raises(ChercheError, match="only an alias can be switched") as refused:
        await taken(upgrade.switch(OLD, "", QUIET, context))
    assert "--replace" in refused.value.next_step


async def test_an_engine_without_aliases_says_what_to_do_instead(tmp_path: Path, context: Context) -> None:
    plain = EmbeddedEngine(tmp_path / "plain.sqlite")
    with pytest.raises(ChercheError, match="no aliases") as refused:
        await taken(upgrade.prepare(OLD, TWO, NEW, QUIET, replace(context, engine=plain)))
    assert "cherche remove" in refused.value.next_step
    await plain.aclose()
