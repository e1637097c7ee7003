"""What the choice of batches never does, whatever the jobs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cherche_models.types import Tokens
from sidecar.models.queue import LANES, Job, JobQueue, around, padded_tokens

KINDS = ("document", "query")
lengths = st.integers(0, 200)


@st.composite
def jobs(draw: st.DrawFn) -> list[Job]:
    drawn = draw(st.lists(st.tuples(lengths, st.sampled_from(KINDS), st.sampled_from(LANES)), max_size=40))
    return [
        Job(Tokens((1,) * length, ("a",) * length, length), kind, lane, float(place))
        for place, (length, kind, lane) in enumerate(drawn)
    ]


def drained(waiting: list[Job], budget: int, max_wait: float = 1e9, step: float = 0.0) -> list[list[Job]]:
    queue: JobQueue[Job] = JobQueue(max_wait)
    for job in waiting:
        queue.add(job)
    batches, now = [], float(len(waiting))
    while batch := queue.take(now, lambda _: budget):
        batches.append(batch)
        now += step
    assert len(queue) == 0
    assert [queue.tokens(lane) for lane in LANES] == [0] * len(LANES)
    assert queue.oldest() is None
    return batches


@given(jobs(), st.integers(1, 500), st.sampled_from([0.0, 0.5, 3.0]))
def test_every_job_runs_exactly_once(waiting: list[Job], budget: int, max_wait: float) -> None:
    batches = drained(waiting, budget, max_wait, step=1.0)
    ran = [id(job) for batch in batches for job in batch]
    assert sorted(ran) == sorted(id(job) for job in waiting)


@given(jobs(), st.integers(1, 500))
def test_a_batch_fits_the_budget_or_is_one_text(waiting: list[Job], budget: int) -> None:
    for batch in drained(waiting, budget):
        assert len(batch) == 1 or padded_tokens([job.length for job in batch]) <= budget


@given(jobs(), st.integers(1, 500))
def test_texts_that_are_packed_go_as_they_came(waiting: list[Job], budget: int) -> None:
    queue: JobQueue[Job] = JobQueue(1e9, packs=True)
    for job in waiting:
        queue.add(job)
    ran: list[Job] = []
    while batch := queue.take(float(len(waiting)), lambda _: budget):
        assert len({(job.lane, job.kind) for job in batch}) == 1
        assert len(batch) == 1 or sum(job.length for job in batch) <= budget
        ran += batch
    assert sorted(map(id, ran)) == sorted(map(id, waiting))
    for lane in LANES:
        for kind in KINDS:
            own = [job.arrived for job in ran if (job.lane, job.kind) == (lane, kind)]
            assert own == sorted(own)


@given(jobs(), st.integers(1, 500))
def test_a_batch_has_one_lane_and_one_kind(waiting: list[Job], budget: int) -> None:
    for batch in drained(waiting, budget):
        assert len({(job.lane, job.kind) for job in batch}) == 1


@given(jobs(), st.integers(1, 500))
def test_better_lanes_go_first(waiting: list[Job], budget: int) -> None:
    ranks = [LANES.index(batch[0].lane) for batch in drained(waiting, budget)]
    assert ranks == sorted(ranks)


@given(jobs(), st.integers(1, 500))
def test_the_oldest_of_its_lane_is_in_each_batch(waiting: list[Job], budget: int) -> None:
    left = list(waiting)
    for batch in drained(waiting, budget):
        peers = [job for job in left if (job.lane, job.kind) == (batch[0].lane, batch[0].kind)]
        assert min(peers, key=lambda job: job.arrived) in batch
        left = [job for job in left if job not in batch]


@given(st.lists(st.integers(1, 100), min_size=1, max_size=30), st.data(), st.integers(1, 2000))
def test_a_run_cannot_grow(drawn: list[int], data: st.DataObject, budget: int) -> None:
    ordered = sorted(drawn)
    head = data.draw(st.integers(0, len(ordered) - 1))
    start, stop = around(ordered, head, budget)
    assert start <= head < stop
    assert stop - start == 1 or padded_tokens(ordered[start:stop]) <= budget
    if start > 0:
        assert padded_tokens(ordered[start - 1 : stop]) > budget
    if stop < len(ordered):
        assert padded_tokens(ordered[start : stop + 1]) > budget


@given(st.integers(1, 30), st.floats(0.5, 5.0))
def test_a_lane_that_is_passed_over_is_served_in_time(queries: int, max_wait: float) -> None:
    """While queries never stop coming, a document waits for `max_wait` and one batch at most."""
    queue: JobQueue[Job] = JobQueue(max_wait)
    tokens = Tokens((1,), ("a",), 1)
    queue.add(Job(tokens, "document", "backfill", 0.0))
    now = 0.0
    while True:
        for _ in range(queries):
            queue.add(Job(tokens, "query", "query", now))
        batch = queue.take(now, lambda _: 1)
        if batch[0].lane == "backfill":
            break
        now += 0.5
    assert max_wait < now <= max_wait + 1.0


@given(jobs(), st.sets(st.integers(0, 39)))
def test_what_is_dropped_is_gone_and_the_rest_is_not(waiting: list[Job], unwanted: set[int]) -> None:
    queue: JobQueue[Job] = JobQueue(1e9)
    for job in waiting:
        queue.add(job)
    gone = {id(job) for place, job in enumerate(waiting) if place in unwanted}
    assert {id(job) for job in queue.drop(lambda job: id(job) in gone)} == gone
    assert len(queue) == len(waiting) - len(gone)
    kept = [job for job in waiting if id(job) not in gone]
    for lane in LANES:
        assert queue.tokens(lane) == sum(job.length for job in kept if job.lane == lane)
