from __future__ import annotations

import asyncio
import os
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from cherche_models.types import Encoding, Tokens
from sidecar.errors import ChercheError, Code
from sidecar.models import worker as working
from sidecar.models.batcher import Batcher
from sidecar.models.threads import GIVES_WAY
from sidecar.testing import FakeModel
from sidecar.values.model import Encoded, Kind, Lane
from tests.unit.sidecar.models.batching import Recorder, all_end_unavailable, batcher, busy, texts, until


async def test_results_are_the_models_own_in_order() -> None:
    model = FakeModel()
    async with batcher(model, tokens=16) as running:
        wanted = texts(50)
        results = await running.encode(wanted, "document", lane="ingest")
        alone = model.encode(model.tokenize(wanted, "document"), "document")
    assert [r.encoding.weights for r in results if isinstance(r, Encoded)] == [e.weights for e in alone]
    assert len(results) == 50
    assert max(len(b) * max(b) for b in model.batches[:-1]) <= 16


async def test_nothing_is_kept_of_a_call_that_was_answered() -> None:
    async with batcher(FakeModel()) as running:
        encoded = await running.encode(texts(50), "document", lane="ingest")
        first = encoded[0]
        assert isinstance(first, Encoded)
        assert first.encoding.embeddings is not None
        left = weakref.ref(first.encoding.embeddings.vectors)
        del encoded, first
        await until(lambda: left() is None)


async def test_memory_is_given_back_once_after_work_and_not_during_it(monkeypatch: pytest.MonkeyPatch) -> None:
    trimmed: list[float] = []
    monkeypatch.setattr(working.memory, "trim", lambda: trimmed.append(0.0))
    monkeypatch.setattr(working, "REST", 0.05)
    async with batcher(FakeModel()) as running:
        await until(lambda: len(trimmed) == 1)
        await asyncio.sleep(0.2)
        assert len(trimmed) == 1
        await running.encode(texts(3), "query", lane="query")
        await until(lambda: len(trimmed) == 2)


async def test_callers_share_a_batch() -> None:
    model = FakeModel()
    async with batcher(model) as running:
        blocker = await busy(running, model)
        calls = [asyncio.create_task(running.encode([text], "document", lane="ingest")) for text in texts(20)]
        await until(lambda: running.waiting == 20)
        model.gate.set()
        await asyncio.gather(blocker, *calls)
    assert [len(batch) for batch in model.batches] == [1, 20]


async def test_a_query_overtakes_documents() -> None:
    model = FakeModel()
    done: list[str] = []

    async def follow(name: str, call: Awaitable[object]) -> None:
        await call
        done.append(name)

    async with batcher(model) as running:
        blocker = await busy(running, model)
        lanes: list[Lane] = ["backfill", "ingest", "rerank", "query"]
        async with asyncio.TaskGroup() as group:
            for place, lane in enumerate(lanes):
                kind = "query" if lane == "query" else "document"
                group.create_task(follow(lane, running.encode(["a"], kind, lane=lane)))
                await until(lambda expected=place + 1: running.waiting == expected)
            model.gate.set()
        await blocker
    assert done == ["query", "rerank", "ingest", "backfill"]


async def test_poison_fails_alone() -> None:
    model, observer = FakeModel(), Recorder()
    async with batcher(model, observer) as running:
        results = await running.encode(["good", "a poison text", "also good"], "document", lane="ingest")
    assert [isinstance(result, ChercheError) for result in results] == [False, True, False]
    assert set(observer.reasons) == {"poison"}


async def test_nan_fails_alone_and_its_neighbours_are_not_computed_again() -> None:
    model = FakeModel()
    async with batcher(model) as running:
        results = await running.encode(["good", "notanumber", "fine"], "document", lane="ingest")
    assert [isinstance(result, ChercheError) for result in results] == [False, True, False]
    assert len(model.batches) == 1


async def test_memory_runs_out_once_then_batches_are_smaller() -> None:
    model, observer = FakeModel(memory=40), Recorder()
    async with batcher(model, observer, tokens=80) as running:
        first = await running.encode(texts(16), "document", lane="ingest")
        splits = len(observer.reasons)
        second = await running.encode(texts(16), "document", lane="ingest")
    assert all(isinstance(result, Encoded) for result in (*first, *second))
    assert splits >= 1
    assert observer.reasons == ["memory"] * splits


async def test_a_text_beyond_memory_fails_alone() -> None:
    model = FakeModel(memory=10)
    async with batcher(model) as running:
        results = await running.encode(["one", " ".join(["word"] * 50), "two"], "document", lane="ingest")
    assert [isinstance(result, ChercheError) for result in results] == [False, True, False]


async def test_cancelled_work_never_reaches_the_model() -> None:
    model, observer = FakeModel(), Recorder()
    async with batcher(model, observer) as running:
        blocker = await busy(running, model)
        call = asyncio.create_task(running.encode(texts(5), "document", lane="ingest"))
        await until(lambda: running.waiting == 5)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        model.gate.set()
        await blocker
        await until(lambda: not running.waiting)
    assert sum(map(len, model.batches)) == 1
    assert observer.lost == 5


async def test_expired_work_never_reaches_the_model() -> None:
    model = FakeModel()
    async with batcher(model) as running:
        blocker = await busy(running, model)
        with pytest.raises(ChercheError) as failure:
            await running.encode(["late"], "query", lane="query", timeout=0.02)
        model.gate.set()
        await blocker
        await until(lambda: not running.waiting)
    assert failure.value.code is Code.DEADLINE_EXCEEDED
    assert len(model.batches) == 1


async def test_too_much_is_refused_at_once_with_a_time_to_retry() -> None:
    model, observer = FakeModel(), Recorder()
    async with batcher(model, observer, queue_items=4) as running:
        blocker = await busy(running, model)
        waiting = asyncio.create_task(running.encode(texts(4), "document", lane="ingest"))
        await until(lambda: running.waiting == 4)
        with pytest.raises(ChercheError) as failure:
            await running.encode(["one more"], "document", lane="ingest")
        query = asyncio.create_task(running.encode(["documents take no place of a query"], "query", lane="query"))
        await until(lambda: running.waiting == 5)
        model.gate.set()
        await asyncio.gather(blocker, waiting)
        assert isinstance((await query)[0], Encoded)
        assert isinstance((await running.encode(["later"], "document", lane="ingest"))[0], Encoded)
    assert failure.value.code is Code.RESOURCE_EXHAUSTED
    assert failure.value.retry_after == 1  # nothing was measured
    assert observer.refusals == ["ingest"]


@dataclass(slots=True, kw_only=True)
class SlowModel(FakeModel):
    """Its passes move a clock that stands still otherwise."""

    rate: float
    now: float = 0.0

    def encode(self, tokens: Sequence[Tokens], kind: Kind) -> list[Encoding]:
        self.now += sum(map(len, tokens)) / self.rate
        return FakeModel.encode(self, tokens, kind)


@asynccontextmanager
async def measured(model: SlowModel) -> AsyncIterator[Batcher]:
    """A batcher that has seen a batch of documents."""
    running = Batcher(model, clock=lambda: model.now)
    try:
        await running.encode(texts(10), "document", lane="ingest")
        yield running
    finally:
        model.gate.set()
        await running.aclose(10)


async def test_what_cannot_be_done_in_time_is_refused_at_once_with_the_wait() -> None:
    model = SlowModel(rate=10)
    async with measured(model) as running:
        blocker = await busy(running, model)
        waiting = asyncio.create_task(running.encode(texts(20), "document", lane="ingest"))
        await until(lambda: running.waiting == 20)
        length = len((await running.tokenize(texts(1), "document"))[0])
        with pytest.raises(ChercheError, match=r"too late for a deadline of 1\.0 s") as failure:
            await running.encode(["too late"], "document", lane="ingest", timeout=1)
        assert failure.value.code is Code.RESOURCE_EXHAUSTED
        assert failure.value.retry_after == pytest.approx(20 * length / 10)
        # Goes first, whatever waits behind it.
        query = asyncio.create_task(running.encode(["in time"], "query", lane="query", timeout=30))
        await until(lambda: running.waiting == 21)
        model.gate.set()
        await asyncio.gather(blocker, waiting, query)


async def test_batches_are_small_while_queries_come() -> None:
    model = SlowModel(rate=200)
    async with measured(model) as running:
        length = len((await running.tokenize(texts(1), "document"))[0])
        await running.encode(texts(40), "document", lane="ingest")
        assert len(model.batches[-1]) == 40
        await running.encode(["a"], "query", lane="query")
        await running.encode(texts(40), "document", lane="ingest")
        assert 1 <= len(model.batches[-1]) <= max(1, 200 * 0.05 // length)
        model.now += 60
        await running.encode(texts(40), "document", lane="ingest")
        assert len(model.batches[-1]) == 40


class Concurrent(FakeModel):
    """Encodes queries beside documents, which alone wait for the gate."""

    def __init__(self) -> None:
        super().__init__(concurrent_queries=True)
        self.priorities: dict[Kind, int] = {}

    def encode(self, tokens: Sequence[Tokens], kind: Kind) -> list[Encoding]:
        self.priorities[kind] = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        if kind == "document":
            return FakeModel.encode(self, tokens, kind)
        return [self._encode(one, kind) for one in tokens]


async def test_queries_are_encoded_beside_documents_where_a_model_can() -> None:
    model = Concurrent()
    async with batcher(model) as running:
        model.gate.clear()
        documents = asyncio.create_task(running.encode(texts(3), "document", lane="ingest"))
        await until(lambda: model.waiting)
        rerank = asyncio.create_task(running.encode(["a text"], "document", lane="rerank"))
        await until(lambda: running.waiting == 1)
        [found] = await running.encode(["storm"], "query", lane="query")
        assert isinstance(found, Encoded)
        assert not documents.done()
        assert not rerank.done()
        model.gate.set()
        assert all(isinstance(one, Encoded) for one in (*await documents, *await rerank))
    if sys.platform == "linux":
        assert model.priorities["document"] == min(19, model.priorities["query"] + GIVES_WAY)


async def test_closing_answers_queries_and_documents() -> None:
    model = Concurrent()
    running = Batcher(model)
    model.gate.clear()
    documents = asyncio.create_task(running.encode(texts(3), "document", lane="ingest"))
    await until(lambda: model.waiting)
    waiting = asyncio.create_task(running.encode(["a text"], "document", lane="rerank"))
    await until(lambda: running.waiting == 1)
    await all_end_unavailable(running, documents, waiting)
    with pytest.raises(ChercheError, match="being stopped"):
        await running.encode(["storm"], "query", lane="query")
    model.gate.set()


async def test_too_many_tokens_are_refused_too() -> None:
    model = FakeModel()
    async with batcher(model, queue_tokens=30) as running:
        blocker = await busy(running, model)
        waiting = asyncio.create_task(running.encode(texts(5), "document", lane="ingest"))
        await until(lambda: running.waiting == 5)
        with pytest.raises(ChercheError, match="wait for model"):
            await running.encode(texts(2), "document", lane="ingest")
        model.gate.set()
        await asyncio.gather(blocker, waiting)


async def test_an_idle_queue_takes_a_call_of_any_size() -> None:
    async with batcher(FakeModel(), queue_items=2, queue_tokens=2) as running:
        assert len(await running.encode(texts(9), "document", lane="ingest")) == 9


async def test_closing_finishes_what_waits_and_refuses_the_rest() -> None:
    model = FakeModel()
    running = Batcher(model)
    blocker = await busy(running, model)
    waiting = asyncio.create_task(running.encode(texts(3), "document", lane="ingest"))
    await until(lambda: running.waiting == 3)
    closing = asyncio.create_task(running.aclose(10))
    await asyncio.sleep(0)
    with pytest.raises(ChercheError) as failure:
        await running.encode(["new"], "query", lane="query")
    model.gate.set()
    await closing
    assert failure.value.code is Code.UNAVAILABLE
    assert all(isinstance(result, Encoded) for result in (*await blocker, *await waiting))


async def test_closing_does_not_wait_for_ever() -> None:
    model = FakeModel()
    running = Batcher(model)
    blocker = await busy(running, model)
    waiting = asyncio.create_task(running.encode(["a"], "query", lane="query"))
    await until(lambda: running.waiting == 1)
    await all_end_unavailable(running, blocker, waiting)
    model.gate.set()


async def test_a_text_that_cannot_be_tokenized_fails_alone() -> None:
    class Picky(FakeModel):
        def _tokenize(self, text: str, max_length: int) -> object:
            if "bad" in text:
                raise ValueError("no such character")
            return super()._tokenize(text, max_length)

    async with batcher(Picky()) as running:
        results = await running.encode(["good", "bad", "fine"], "document", lane="ingest")
        with pytest.raises(ChercheError, match="no such character"):
            await running.tokenize(["good", "bad"], "document")
    assert [isinstance(result, ChercheError) for result in results] == [False, True, False]


async def test_tokens_can_be_encoded_as_they_are() -> None:
    model = FakeModel()
    async with batcher(model) as running:
        tokens = await running.tokenize(["a b", "c"], "document")
        results = await running.encode_tokens(tokens, "document", lane="backfill", timeout=60)
    assert [r.tokens for r in results if isinstance(r, Encoded)] == tokens


async def test_like_lengths_run_together() -> None:
    """Short and long texts that wait side by side are not padded to each other."""
    model, observer = FakeModel(), Recorder()
    async with batcher(model, observer, tokens=200) as running:
        blocker = await busy(running, model)
        mixed = [" ".join(["w"] * (2 if i % 2 else 48)) for i in range(40)]
        call = asyncio.create_task(running.encode(mixed, "document", lane="ingest"))
        await until(lambda: running.waiting == 40)
        model.gate.set()
        await asyncio.gather(blocker, call)
    assert observer.padding <= 2 * 46


class Slow(FakeModel):
    """Needs something before it encodes documents."""

    def __init__(self) -> None:
        super().__init__()
        self.opened, self.prepared = threading.Event(), 0

    def prepare(self, kind: Kind) -> Callable[[], None] | None:
        return self._open if kind == "document" and not self.prepared else None

    def _open(self) -> None:
        self.opened.wait()
        self.prepared += 1


async def test_queries_are_answered_while_documents_wait_for_their_model() -> None:
    model = Slow()
    async with batcher(model) as running:
        waiting = [asyncio.create_task(running.encode(["storm"], "document", lane="ingest")) for _ in range(20)]
        tokens = model.tokenize(["storm"], "document")
        waiting.append(asyncio.create_task(running.encode_tokens(tokens, "document", lane="backfill")))
        [found] = await running.encode(["storm"], "query", lane="query")
        assert isinstance(found, Encoded)
        assert not any(task.done() for task in waiting)
        waiting[0].cancel()  # a caller that hangs up does not end it
        model.opened.set()
        for [one] in await asyncio.gather(*waiting[1:]):
            assert isinstance(one, Encoded)
    assert model.prepared == 1


async def test_who_cannot_wait_for_a_model_is_told_so() -> None:
    model = Slow()
    async with batcher(model) as running:
        with pytest.raises(ChercheError) as caught:
            await running.encode(["storm"], "document", lane="ingest", timeout=0.01)
        model.opened.set()
    assert caught.value.code is Code.DEADLINE_EXCEEDED
