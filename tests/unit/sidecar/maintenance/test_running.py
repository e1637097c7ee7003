"""What a backfill or an upgrade says on its way is noted, and how it ended."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from sidecar.errors import ChercheError, Code
from sidecar.maintenance.running import KEPT, Jobs, job_json
from sidecar.values.documents import IngestResult
from sidecar.values.maintenance import BackfillEvent, Estimate, NotDone, Progress, Switched, UpgradeEvent
from tests.clock import Clock

ESTIMATE = Estimate(documents=100, to_encode=80, sampled=10, seconds=40.0, stored_bytes=0, peak_bytes=0)
BROKEN = ChercheError(Code.INVALID_ARGUMENT, "document 'x' is no object", "correct it")


async def events(*given: BackfillEvent) -> AsyncGenerator[BackfillEvent, None]:
    for event in given:
        yield event


async def test_a_job_is_shown_while_it_goes_on_and_afterwards() -> None:
    clock = Clock(100.0)
    jobs = Jobs(clock)
    going = Progress(round=2, read=60, encoded=50, failed=1, checkpoint='{"read":1}')
    given = events(ESTIMATE, going, NotDone("x", "articles", BROKEN), Progress(paused="the cluster is busy"), going)
    phases = []
    async for _ in jobs.follow("backfill", "articles", given):
        [job] = jobs.listed()
        phases.append(job.phase)
        clock.now += 5
    assert phases == ["round 1", "round 2", "round 2", "paused", "round 2"]
    [job] = jobs.listed()
    clock.now += 30
    shown = job_json(job, clock.now)
    assert (shown["kind"], shown["index"], shown["phase"], shown["runs"]) == ("backfill", "articles", "done", False)
    assert (shown["seconds"], shown["ago"], shown["to_encode"], shown["encoded"]) == (25.0, 30.0, 80, 50)
    assert shown["not_done"] == [{"id": "x", "reason": "document 'x' is no object"}]
    assert "checkpoint" not in shown


async def test_what_ends_a_job_early_is_told() -> None:
    async def failing() -> AsyncGenerator[UpgradeEvent, None]:
        yield Switched("articles", ("articles-2",), ("articles-1",))
        raise ChercheError(Code.UNAVAILABLE, "the cluster is gone", "start it")

    jobs = Jobs()
    with pytest.raises(ChercheError, match="the cluster is gone"):
        async for _ in jobs.follow("switch", "articles", failing()):
            pass
    [job] = jobs.listed()
    shown = job_json(job, job.began)
    assert (shown["phase"], shown["serving"]) == ("failed", ["articles-2"])
    assert shown["error"] == {"reason": "the cluster is gone", "next_step": "start it"}


async def test_a_caller_who_goes_away_stops_his_job() -> None:
    jobs = Jobs()
    async with aclosing(jobs.follow("backfill", "articles", events(ESTIMATE, Progress()))) as followed:
        async for _ in followed:
            assert jobs.listed()[0].ended is None
            break
    assert jobs.listed()[0].phase == "stopped"


async def test_few_of_many_are_kept_the_last_one_first() -> None:
    jobs = Jobs()
    for number in range(KEPT + 3):
        async for _ in jobs.follow("backfill", f"index-{number}", events(ESTIMATE)):
            pass
    found = [job.index for job in jobs.listed()]
    assert found == [f"index-{number}" for number in range(KEPT + 2, 2, -1)]


async def test_a_feed_is_counted_and_forgotten() -> None:
    async def results() -> AsyncGenerator[IngestResult, None]:
        yield IngestResult("a", "encoded")
        yield IngestResult("x", "failed", BROKEN)

    jobs = Jobs()
    async for _ in jobs.feed("articles", results()):
        shown = job_json(jobs.listed()[0], 0.0)
    assert (shown["kind"], shown["phase"], shown["read"], shown["encoded"]) == ("feed", "going on", 2, 1)
    assert shown["not_done"] == [{"id": "x", "reason": "document 'x' is no object"}]
    assert jobs.listed() == []
