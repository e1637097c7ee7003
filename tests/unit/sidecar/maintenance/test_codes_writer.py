"""Codes that are written after a search: of what, by whom, how many, and what ends them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from cherche_models.codec import unpack_codes
from sidecar.errors import ChercheError, Code
from sidecar.maintenance.codes_writer import MOST_BYTES, PAGE, REST, CodesWriter
from sidecar.maintenance.setup import setup
from sidecar.pipeline import search
from sidecar.values.documents import ColdDocument, StoredDocument, WriteResult
from sidecar.values.index import Identity, IndexGroup, IndexOptions
from sidecar.values.search import RerankStatus, SearchRequest
from tests.clock import Clock
from tests.unit.sidecar.maintenance.fakes import INDEX, FileWorld


class Written:
    """An index that makes codes on demand, and what writes them."""

    def __init__(self, world: FileWorld, most: int, has_account: bool) -> None:
        self.world, self.clock, self.outcomes = world, Clock(), Counter[str]()
        self.waiting = 0
        context = replace(world.context, clock=self.clock, sleep=self.clock.sleep)
        self.writer = CodesWriter(context, has_account=has_account, most=most, observe=self._observe)

    def _observe(self, outcome: str, count: int, waiting: int) -> None:
        self.outcomes[outcome] += count
        self.waiting = waiting

    async def documents(self) -> dict[str, StoredDocument]:
        return {one.id: one async for one in self.world.engine.scan(INDEX)}

    async def cold(self) -> list[ColdDocument]:
        return [ColdDocument(INDEX, one.id, "", one.hash) for one in (await self.documents()).values()]

    async def search(self, **options: Any) -> Any:
        wanted = self.writer.for_caller(Identity())
        context = replace(self.world.context, wanted=wanted)
        return await search(SearchRequest(INDEX, "title words", rerank=True, **options), context)


async def written(world: FileWorld, count: int = 20, most: int = 1000, has_account: bool = True) -> Written:
    await world.fill(count)
    await setup(INDEX, IndexOptions(codes="on-demand"), world.context, dry_run=False)
    await world.run()
    world.encoder.calls.clear()
    return Written(world, most, has_account)


@pytest.fixture
async def made(file_world: FileWorld) -> AsyncIterator[Written]:
    found = await written(file_world)
    yield found
    await found.writer.aclose()


async def test_a_search_has_the_codes_of_its_window_written(made: Written) -> None:
    before = await made.documents()
    assert all(one.codes is None for one in before.values())
    first = await made.search(rerank_window=10)
    assert first.rerank.status == RerankStatus.APPLIED
    await made.writer.settled()
    after = await made.documents()
    warm = {id for id, one in after.items() if one.codes is not None}
    assert len(warm) == 10
    assert {id: replace(one, codes=None) for id, one in after.items()} == before, "nothing else of a document changes"
    assert made.outcomes == {"wanted": 10, "written": 10}
    made.world.encoder.calls.clear()
    again = await made.search(rerank_window=10)
    assert again.hits == first.hits
    assert made.world.encoder.calls == [("query", 1)]


async def test_what_is_written_is_what_a_feed_would_have_stored(made: Written) -> None:
    made.writer.want(await made.cold())
    await made.writer.settled()
    on_demand = {id: one.codes for id, one in (await made.documents()).items()}
    await setup(INDEX, IndexOptions(codes="stored"), made.world.context, dry_run=False)
    assert (await made.world.engine.gaps(INDEX, (await made.world.engine.meta(INDEX)))).total == 0  # type: ignore[arg-type]
    for one in (await made.documents()).values():
        await made.world.write((one.id, dict(one.source)))
    await made.world.run()
    assert {id: one.codes for id, one in (await made.documents()).items()} == on_demand
    assert all(codes is not None and len(unpack_codes(codes)) for codes in on_demand.values())


async def test_an_index_that_stores_codes_again_says_which_documents_have_none(made: Written) -> None:
    made.writer.want((await made.cold())[:5])
    await made.writer.settled()
    meta = await made.world.engine.meta(INDEX)
    assert meta is not None
    assert (await made.world.engine.gaps(INDEX, meta)).total == 0
    result = await setup(INDEX, IndexOptions(codes="stored"), made.world.context, dry_run=False)
    assert f"15 documents have no codes yet; they get them with: cherche backfill {INDEX}" in result.warnings
    stored = await made.world.engine.meta(INDEX)
    assert stored is not None
    assert (stored.fingerprint, (await made.world.engine.gaps(INDEX, stored)).without_codes) == (meta.fingerprint, 15)
    await made.world.run()
    assert all(one.codes is not None for one in (await made.documents()).values())


async def test_a_newer_document_is_not_written_over(made: Written) -> None:
    async def overtake(documents: Sequence[StoredDocument]) -> None:
        made.world.engine.before = None
        await made.world.write(("3", {"title": "newer", "text": "write"}))

    made.world.engine.before = overtake
    made.writer.want(await made.cold())
    await made.writer.settled()
    newer = (await made.documents())["3"]
    assert (newer.source, newer.state, newer.codes) == ({"title": "newer", "text": "write"}, "pending", None)
    assert (made.outcomes["written"], made.outcomes["changed"]) == (19, 1)


async def test_a_text_that_changed_or_went_since_the_search_is_left_alone(made: Written) -> None:
    cold = await made.cold()
    await made.world.write(("0", {"title": "another", "text": "text"}))
    made.writer.want([*cold[:2], ColdDocument(INDEX, "never there", "", "hash")])
    await made.writer.settled()
    assert made.outcomes == {"wanted": 3, "changed": 2, "written": 1}
    assert (await made.documents())["0"].codes is None


async def test_a_full_queue_drops_the_rest_and_says_how_many(file_world: FileWorld) -> None:
    found = await written(file_world, most=3)
    cold = await found.cold()
    for one in cold:
        found.writer.want([one])
    assert (len(found.writer), found.outcomes) == (3, {"wanted": 3, "dropped": 17})
    await found.writer.settled()
    assert found.outcomes["written"] == 3
    for one in cold:
        found.writer.want([one])
    await found.writer.settled()
    assert found.outcomes["written"] == 6, "what was dropped is wanted by the next search"
    await found.writer.aclose()


async def test_one_search_with_a_large_window_leaves_room_for_others(file_world: FileWorld) -> None:
    found = await written(file_world, most=8)
    cold = await found.cold()
    found.writer.want(cold[:12])
    found.writer.want(cold[12:])
    assert (len(found.writer), found.outcomes) == (4, {"wanted": 4, "dropped": 16})
    await found.writer.aclose()


async def test_the_names_that_wait_have_a_bound_in_bytes(made: Written) -> None:
    long = "x" * (MOST_BYTES // 8)
    made.writer.want([ColdDocument(INDEX, f"{long}{number}", "", "hash") for number in range(20)])
    assert (len(made.writer), made.outcomes["dropped"]) == (7, 13)


async def test_a_document_is_taken_once(made: Written) -> None:
    cold = await made.cold()
    for _ in range(3):
        made.writer.want(cold)
    await made.writer.settled()
    made.writer.want(cold)
    await made.writer.settled()
    assert made.outcomes == {"wanted": 20, "written": 20}
    made.clock.now += REST
    made.writer.want(cold)
    await made.writer.settled()
    assert made.outcomes["changed"] == 20, "then it is looked at again, and has its codes"
    assert sum(count for kind, count in made.world.encoder.calls if kind == "document") == 20


async def test_documents_are_encoded_in_the_last_lane_a_few_at_a_time(made: Written) -> None:
    made.world.encoder.lanes.clear()
    made.writer.want(await made.cold())
    await made.writer.settled()
    assert made.world.encoder.calls == [("document", PAGE), ("document", 20 - PAGE)]
    assert made.world.encoder.lanes == ["backfill"] * 2


async def test_credentials_of_a_caller_write_nothing(file_world: FileWorld) -> None:
    found = await written(file_world, has_account=False)
    assert found.writer.for_caller(Identity("Basic c2VjcmV0")) is None
    assert found.writer.for_caller(Identity()) is found.writer, "as the sidecar itself, which has none either"
    owning = CodesWriter(found.world.context, has_account=True, most=1)
    assert owning.for_caller(Identity("Basic c2VjcmV0")) is owning


@pytest.mark.parametrize("code", [Code.PERMISSION_DENIED, Code.UNAUTHENTICATED, Code.FAILED_PRECONDITION])
async def test_an_account_that_may_not_write_is_not_asked_again_for_a_while(
    made: Written, code: Code, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def refused(documents: Sequence[StoredDocument], **options: Any) -> list[WriteResult]:
        asked.append(len(documents))
        return [WriteResult(one.id, ChercheError(code, "may not write")) for one in documents]

    monkeypatch.setattr(made.world.engine, "update", refused)
    cold = await made.cold()
    made.writer.want(cold[:PAGE])
    await made.writer.settled()
    made.writer.want(cold)
    await made.writer.settled()
    assert asked == [PAGE]
    assert made.outcomes == {"wanted": PAGE, "failed": PAGE, "refused": 20}
    monkeypatch.undo()
    made.clock.now += REST
    made.writer.want(cold)
    await made.writer.settled()
    assert made.outcomes["written"] == 20


async def test_what_else_waits_for_an_index_that_refuses_is_not_encoded(
    file_world: FileWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await written(file_world, count=4 * PAGE)

    async def refused(documents: Sequence[StoredDocument], **options: Any) -> list[WriteResult]:
        return [WriteResult(one.id, ChercheError(Code.PERMISSION_DENIED, "may not write")) for one in documents]

    monkeypatch.setattr(found.world.engine, "update", refused)
    found.writer.want(await found.cold())
    await found.writer.settled()
    assert found.world.encoder.calls == [("document", PAGE)]
    assert found.outcomes == {"wanted": 4 * PAGE, "failed": PAGE, "refused": 3 * PAGE}
    assert (len(found.writer), found.waiting) == (0, 0)
    await found.writer.aclose()


async def test_a_search_that_is_refused_costs_the_caller_nothing(
    made: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*options: Any) -> list[StoredDocument]:
        raise ChercheError(Code.PERMISSION_DENIED, "may not read")

    monkeypatch.setattr(made.world.engine, "versions", refused)
    assert (await made.search()).rerank.status == RerankStatus.PARTIAL
    await made.writer.settled()
    assert made.outcomes == {"wanted": 20, "refused": 20}


@pytest.mark.parametrize("error", [ChercheError(Code.UNAVAILABLE, "no cluster"), RuntimeError("a defect")])
async def test_one_failure_does_not_end_the_work(
    made: Written, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions, failures = made.world.engine.versions, [error]

    async def failing(*options: Any) -> list[StoredDocument]:
        if failures:
            raise failures.pop()
        return await versions(*options)

    monkeypatch.setattr(made.world.engine, "versions", failing)
    made.writer.want(await made.cold())
    await made.writer.settled()
    assert made.outcomes == {"wanted": 20, "failed": PAGE, "written": 20 - PAGE}


@pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED, Code.DEADLINE_EXCEEDED])
async def test_a_cluster_that_is_down_is_asked_ever_less_often(
    file_world: FileWorld, code: Code, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await written(file_world, count=4 * PAGE)
    versions, failures = found.world.engine.versions, [ChercheError(code, "not now")] * 3

    async def failing(*options: Any) -> list[StoredDocument]:
        if failures:
            raise failures.pop()
        return await versions(*options)

    monkeypatch.setattr(found.world.engine, "versions", failing)
    found.writer.want(await found.cold())
    await found.writer.settled()
    assert found.clock.pauses == [1.0, 2.0, 4.0]
    assert found.outcomes == {"wanted": 4 * PAGE, "failed": 3 * PAGE, "written": PAGE}
    await found.writer.aclose()


async def test_documents_that_a_cluster_was_too_busy_for_are_followed_by_a_pause(
    made: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(documents: Sequence[StoredDocument], **options: Any) -> list[WriteResult]:
        error = ChercheError(Code.RESOURCE_EXHAUSTED, "busy", retry_after=3.0)
        return [WriteResult(one.id, error) for one in documents]

    monkeypatch.setattr(made.world.engine, "update", busy)
    made.writer.want(await made.cold())
    await made.writer.settled()
    assert (made.clock.pauses, made.outcomes) == ([3.0, 3.0], {"wanted": 20, "failed": 20})


async def test_versions_of_an_owner_are_not_raised(made: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    async def numbered(index: str, size: int) -> int:
        return 5

    monkeypatch.setattr(made.world.engine, "foreign_versions", numbered)
    made.writer.want(await made.cold())
    await made.writer.settled()
    assert made.outcomes["refused"] == 20
    assert all(one.codes is None for one in (await made.documents()).values())


async def test_an_index_that_was_created_again_and_leaves_fields_out_is_not_written(
    made: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    cold = await made.cold()
    made.writer.want(cold[:2])
    await made.writer.settled()
    groups = made.world.engine.groups

    async def lossy(index: str, **options: float) -> tuple[IndexGroup, ...]:
        return tuple(replace(one, lost=("secret",)) for one in await groups(index, **options))

    monkeypatch.setattr(made.world.engine, "groups", lossy)
    made.writer.want(cold[2:])
    await made.writer.settled()
    assert made.outcomes == {"wanted": 20, "written": 2, "refused": 18}


async def test_an_index_whose_choice_changed_is_left_alone(made: Written) -> None:
    await setup(INDEX, IndexOptions(codes="stored"), made.world.context, dry_run=False)
    made.writer.want(await made.cold())
    await made.writer.settled()
    assert made.outcomes == {"wanted": 20, "changed": 20}


async def test_a_search_that_ends_after_closing_begins_nothing(made: Written) -> None:
    cold = await made.cold()
    await made.writer.aclose()
    made.writer.want(cold)
    await made.writer.settled()
    assert (len(made.writer), made.outcomes) == (0, {})
    assert all(one.codes is None for one in (await made.documents()).values())


async def test_closing_stops_at_once_and_another_process_goes_on(made: Written) -> None:
    started = asyncio.Event()

    async def waits(documents: Sequence[StoredDocument]) -> None:
        started.set()
        await asyncio.Event().wait()

    made.world.engine.before = waits
    cold = await made.cold()
    made.writer.want(cold)
    await started.wait()
    await made.writer.aclose()
    assert len(made.writer) == 0
    made.world.engine.before = None
    assert all(one.codes is None and one.state == "ok" for one in (await made.documents()).values())
    later = Written(made.world, most=1000, has_account=True)
    await later.search(rerank_window=20)
    await later.writer.settled()
    assert later.outcomes == {"wanted": 20, "written": 20}
    await later.writer.aclose()
