import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from cherche_models import codec, grid
from cherche_models.types import TermWeights
from sidecar.errors import ChercheError, Code, overloaded, unavailable
from sidecar.pipeline import ingest
from sidecar.pipeline.encode import PATIENCE
from sidecar.pipeline.ingest import ANSWERED_WITHIN, FIRST_BYTES, ITEMS, LEAST_BYTES, MOST_BYTES, next_bytes
from sidecar.pipeline.text import content_hash
from sidecar.testing import FakeModel
from sidecar.values.documents import IngestResult, SourceDocument
from sidecar.values.index import TextField
from tests.clock import Clock


def doc(id: str, text: str = "some words", **more: Any) -> SourceDocument:
    return SourceDocument(id, json.dumps({"text": text, **more}).encode())


async def arriving(documents: Sequence[SourceDocument]) -> AsyncIterator[SourceDocument]:
    for document in documents:
        yield document


async def feed(world: Any, *documents: SourceDocument, **options: Any) -> list[IngestResult]:
    async with aclosing(ingest(arriving(documents), world.index, world.context, **options)) as results:
        return [result async for result in results]


def outcomes(results: Sequence[IngestResult]) -> list[str]:
    return [result.outcome for result in results]


@pytest.fixture
def ready(world: Any) -> Any:
    world.set_up()
    return world


async def test_a_document_is_stored_with_weights_on_the_grid_terms_and_codes(ready: Any) -> None:
    [result] = await feed(ready, doc("1", "blue sky blue"))
    stored = ready.engine.documents["1"]
    terms = codec.unpack_terms(stored.terms)
    names = {"h" + str(i - 6): w for i, w in terms.items()}  # six special tokens come before the words
    assert stored.features == names
    assert grid.round_to_grid(terms.weights).tolist() == terms.weights.tolist()
    assert codec.codes_header(stored.codes).tokens == 3
    assert (stored.state, stored.source) == ("ok", {"text": "blue sky blue"})
    assert result == IngestResult(
        "1", "encoded", tokens=5, terms=2, bytes=len(stored.terms) + len(stored.codes), truncated=False
    )


async def test_results_come_in_order_one_each_and_the_index_is_refreshed_once(ready: Any) -> None:
    ids = [str(i) for i in range(3 * ITEMS + 1)]
    results = await feed(ready, *(doc(i, f"text {i}") for i in ids))
    assert [result.id for result in results] == ids
    assert set(outcomes(results)) == {"encoded"}
    assert ready.engine.calls["refresh"] == 1
    assert set(ready.encoder.lanes) == {"ingest"}


async def test_what_did_not_change_costs_nothing(ready: Any) -> None:
    await feed(ready, doc("1", year=1), doc("2"), doc("3"))
    passes, writes = len(ready.encoder.calls), ready.engine.calls["write"]
    again = await feed(ready, doc("1", year=1), doc("2"), doc("3"), refresh=False)
    assert outcomes(again) == ["unchanged"] * 3
    assert [result.terms for result in again] == [2, 2, 2]
    assert (len(ready.encoder.calls), ready.engine.calls["write"], ready.engine.calls["refresh"]) == (passes, writes, 1)


@pytest.mark.parametrize(("before", "after"), [(1, 2), (1, True), (1, 1.0), (None, 1)])
async def test_another_field_is_written_without_the_model(ready: Any, before: object, after: object) -> None:
    await feed(ready, doc("1", year=before))
    first, passes = ready.engine.documents["1"], len(ready.encoder.calls)
    assert outcomes(await feed(ready, doc("1", year=after))) == ["reused"]
    second = ready.engine.documents["1"]
    assert len(ready.encoder.calls) == passes
    assert repr(second.source["year"]) == repr(after)
    assert replace(second, source=first.source) == first


@pytest.mark.parametrize(
    "damage",
    [
        {"terms": b"CT?"},
        {"terms": None},
        {"codes": b"CC?"},
        {"codes": None},
        {"state": "pending"},
        {"hash": "another"},
    ],
)
async def test_what_cannot_be_reused_is_encoded_again(ready: Any, damage: dict[str, Any]) -> None:
    await feed(ready, doc("1"))
    whole = ready.engine.documents["1"]
    ready.engine.documents["1"] = replace(whole, **damage)
    assert outcomes(await feed(ready, doc("1"))) == ["encoded"]
    assert ready.engine.documents["1"] == whole


async def test_other_fields_of_the_same_index_mean_another_text(ready: Any) -> None:
    both = SourceDocument("1", b'{"title": "one", "text": "two"}')
    only = SourceDocument("2", b'{"text": "two"}')
    await feed(ready, both, only)
    ready.set_up(fields=(TextField("text"),))
    assert outcomes(await feed(ready, both, only)) == ["encoded", "unchanged"]


async def test_each_bad_document_has_its_reason_and_its_neighbours_succeed(ready: Any) -> None:
    documents = [
        doc("a"),
        SourceDocument("b", b"{"),
        doc("c", "poison here"),
        doc("d", "notanumber here"),
        SourceDocument("e", b'{"text": {"en": "x"}}'),
        SourceDocument("f\ud800", b'{"text": "x"}'),
        SourceDocument("", b'{"text": "x"}'),
        doc("a", "another"),
        doc("g"),
        doc("refused"),
        doc("h"),
    ]
    ready.engine.refused["refused"] = ChercheError(Code.INVALID_ARGUMENT, "mapper_parsing_exception", "mend it")
    results = await feed(ready, *documents)
    assert [result.id for result in results] == [document.id for document in documents]
    assert [result.id for result in results if result.error is None] == ["a", "g", "h"]
    reasons = {result.id: result.error.reason for result in results[1:] if result.error}
    assert "document 'b' is not JSON" in reasons["b"]
    assert reasons["c"] == "document 'c': a text is poisonous"
    assert reasons["d"] == "document 'd': the model gave NaN or infinite term weights; nothing was stored"
    assert "field 'text' holds an object, not text" in reasons["e"]
    assert "lone surrogate" in reasons["f\ud800"]
    assert reasons["a"] == "document 'a' came before in this feed"
    assert reasons["refused"] == "document 'refused': mapper_parsing_exception"
    assert set(ready.engine.documents) == {"a", "g", "h"}
    assert ready.engine.documents["a"].source == {"text": "some words"}  # the first of an id stands


async def test_an_id_comes_back_in_a_later_batch(ready: Any) -> None:
    documents = [*(doc(str(i)) for i in range(ITEMS * 2)), doc("0"), doc("last")]
    results = await feed(ready, *documents)
    assert results[-2].error is not None
    assert results[-2].error.code is Code.ALREADY_EXISTS
    assert results[-1].outcome == "encoded"


@pytest.mark.parametrize("rate", [300, 2_000, 30_000, 10_000_000])
def test_batches_are_as_large_as_a_machine_answers_in_time(rate: int) -> None:
    """`rate` is bytes per second; the least batch takes longer on the slowest machine, and no other does."""
    size = FIRST_BYTES
    for _ in range(12):
        size = next_bytes(size, size, size / rate)
    assert size == max(LEAST_BYTES, min(MOST_BYTES, int(rate * ANSWERED_WITHIN)))


async def test_a_slow_machine_gets_smaller_batches(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that hears nothing for a minute gives up, though every document would have been stored."""
    clock: Iterator[int] = iter(range(0, 10_000, 40))
    sizes: list[int] = []
    slow = SimpleNamespace(monotonic=lambda: next(clock))
    monkeypatch.setattr(sys.modules["sidecar.pipeline.ingest"], "time", slow)
    write = ready.engine.write

    async def counted(index: str, documents: Sequence[Any]) -> Any:
        sizes.append(len(documents))
        return await write(index, documents)

    monkeypatch.setattr(ready.engine, "write", counted)
    results = await feed(ready, *(doc(str(i), "word " * 200) for i in range(200)))
    assert set(outcomes(results)) == {"encoded"}
    assert sizes[-1] < sizes[0] / 4


@pytest.mark.parametrize("stage", ["read", "write"])
async def test_an_engine_that_fails_a_bulk_fails_each_of_its_documents(ready: Any, stage: str) -> None:
    await feed(ready, doc("old"))
    ready.engine.failures[stage] = unavailable("the cluster does not answer", "start it")
    results = await feed(ready, doc("1"), SourceDocument("2", b"{"), doc("old"), doc("3"))
    assert outcomes(results)[0] == outcomes(results)[3] == "failed"
    assert [result.error.reason for result in results if result.id in "13" and result.error] == [
        "document '1': the cluster does not answer",
        "document '3': the cluster does not answer",
    ]
    assert results[1].error is not None
    assert "is not JSON" in results[1].error.reason
    assert results[2].outcome == ("unchanged" if stage == "write" else "failed")


async def test_a_text_without_terms_is_stored_without_any(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeModel, "_weights", lambda *_: TermWeights.empty())
    [result] = await feed(ready, doc("1"))
    stored = ready.engine.documents["1"]
    assert (result.outcome, result.terms, stored.features) == ("encoded", 0, {})
    assert outcomes(await feed(ready, doc("1"))) == ["unchanged"]


async def test_truncation_is_reported(make_world: Callable[..., Any]) -> None:
    world = make_world(FakeModel(max_length=8))
    world.set_up(chunks=1)
    short, long = await feed(world, doc("1", "a b c"), doc("2", "a b c d e f g h"))
    assert (short.truncated, long.truncated, long.tokens) == (False, True, 8)


@pytest.mark.parametrize(
    ("meta", "code", "mend"),
    [(None, Code.FAILED_PRECONDITION, "cherche setup articles"), ("missing", Code.NOT_FOUND, "no index")],
)
async def test_an_index_that_takes_none_is_refused_at_once(world: Any, meta: str | None, code: Code, mend: str) -> None:
    if meta is None:
        world.engine.metas[world.index] = None
    with pytest.raises(ChercheError, match=mend) as caught:
        await feed(world, doc("1"))
    assert caught.value.code is code


async def test_an_index_of_another_model_is_refused_at_once(make_world: Callable[..., Any]) -> None:
    world = make_world(FakeModel("mine"))
    world.engine.metas[world.index] = make_world(FakeModel("theirs")).set_up()
    with pytest.raises(ChercheError, match="cherche serve --model theirs=PATH"):
        await feed(world, doc("1"))
    assert not world.engine.documents


async def test_two_models_encode_at_once_and_each_is_asked_once(make_world: Callable[..., Any]) -> None:
    sparse, late = FakeModel("sparse", late_interaction=False), FakeModel("late", sparse=False, max_length=8)
    world = make_world(sparse, late)
    world.set_up(reranker="late", chunks=1)
    [result] = await feed(world, doc("1", "a b c d e f g h"))
    assert [encoder.calls for encoder in world.encoders.encoders] == [[("document", 1)]] * 2
    assert (result.tokens, result.truncated) == (10, True)  # the reranker reads 8 of 10
    assert codec.codes_header(world.engine.documents["1"].codes).tokens == 6


async def test_a_caller_may_await_each_answer_before_the_next_document(ready: Any) -> None:
    queue: asyncio.Queue[SourceDocument | None] = asyncio.Queue()

    async def asked() -> AsyncIterator[SourceDocument]:
        while document := await queue.get():
            yield document

    async with aclosing(ingest(asked(), ready.index, ready.context)) as results, asyncio.timeout(60):
        for id in "abc":
            queue.put_nowait(doc(id))
            assert (await anext(results)).id == id
        queue.put_nowait(None)
        assert [result async for result in results] == []


async def test_a_cancelled_feed_leaves_nothing_running(ready: Any) -> None:
    started = asyncio.Event()
    before = asyncio.all_tasks()

    async def endless() -> AsyncIterator[SourceDocument]:
        for i in range(10_000):
            yield doc(str(i))

    async def consume() -> None:
        async with aclosing(ingest(endless(), ready.index, ready.context)) as results:
            async for _ in results:
                started.set()
                await asyncio.sleep(0)

    task = asyncio.create_task(consume())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before


async def test_a_broken_stream_is_told_after_its_answers(ready: Any) -> None:
    async def broken() -> AsyncIterator[SourceDocument]:
        yield doc("1")
        raise ConnectionResetError

    answered = []

    async def consume() -> None:
        async with aclosing(ingest(broken(), ready.index, ready.context)) as results:
            async for result in results:
                answered.append(result.id)  # noqa: PERF401  # what came before the failure must stay

    with pytest.raises(ConnectionResetError):
        await consume()
    assert answered == ["1"]


def clocked(world: Any, deadline: float | None = None) -> tuple[Any, Clock]:
    clock = Clock()
    return world.with_context(clock=clock, sleep=clock.sleep, deadline=deadline), clock


async def test_an_overloaded_model_is_waited_for(ready: Any) -> None:
    world, clock = clocked(ready)
    world.encoder.refusals = [overloaded("8,192 texts wait", 3.0), overloaded("8,192 texts wait", 0.1)] * 2
    assert outcomes(await feed(world, *(doc(str(i)) for i in range(5)))) == ["encoded"] * 5
    assert clock.pauses[0] == 3.0
    assert len(clock.pauses) == 4
    assert min(clock.pauses) >= 0.1


async def test_waiting_takes_less_than_half_of_what_is_left(ready: Any) -> None:
    world, clock = clocked(ready, deadline=14.0)
    world.encoder.refusals = [overloaded("8,192 texts wait", 6.0)] * 5
    [result] = await feed(world, doc("1"))
    assert clock.now == 6.0, "6 of 14 seconds are waited for, 6 of 8 are not"
    assert result.error is not None
    assert (result.error.code, result.error.retry_after) == (Code.RESOURCE_EXHAUSTED, 6.0)


async def test_patience_ends_without_a_deadline_too(ready: Any) -> None:
    world, clock = clocked(ready)
    world.encoder.refusals = [overloaded("8,192 texts wait", 1.0)] * 10_000
    [result] = await feed(world, doc("1"))
    assert result.outcome == "failed"
    assert PATIENCE / 2 < clock.now <= PATIENCE


async def test_a_model_that_fails_is_not_asked_again(ready: Any) -> None:
    world, clock = clocked(ready)
    world.encoder.refusals = [unavailable("model 'fake' is being stopped")]
    assert outcomes(await feed(world, doc("1"), doc("2"))) == ["failed", "failed"]
    assert not clock.pauses


class Switching:
    """Lets a name stand for another index, of another encoding, whenever a batch was written."""

    def __init__(self, world: Any, times: int) -> None:
        self.world, self.times, self.uuid = world, times, 0
        self.write, world.engine.write = world.engine.write, self._write
        world.engine.identities = self._identities

    async def _identities(self, index: str) -> frozenset[str]:
        return frozenset((f"uuid {self.uuid}",))

    async def _write(self, index: str, documents: Any) -> Any:
        written = await self.write(index, documents)
        if self.uuid < self.times:
            self.uuid += 1
            self.world.set_up(max_length=10 + self.uuid)
        return written


async def test_a_batch_during_which_the_index_was_switched_is_encoded_for_the_other(ready: Any) -> None:
    Switching(ready, 1)
    assert outcomes(await feed(ready, doc("1"), doc("2", "poison"))) == ["encoded", "failed"]
    assert ready.engine.calls["write"] == 2
    meta = ready.engine.metas[ready.index]
    assert ready.engine.documents["1"].hash == content_hash(("some words",), meta.fields[1:], meta.fingerprint)


async def test_an_index_that_is_switched_again_and_again_is_no_success(ready: Any) -> None:
    Switching(ready, 100)
    [result] = await feed(ready, doc("1"))
    assert result.error is not None
    assert (result.error.code, "switched" in result.error.reason) == (Code.UNAVAILABLE, True)


async def test_a_rollover_during_a_feed_writes_nothing_twice(ready: Any) -> None:
    names = [frozenset("a"), frozenset("ab")]

    async def identities(index: str) -> frozenset[str]:
        return names.pop(0) if len(names) > 1 else names[0]

    ready.engine.identities = identities
    assert outcomes(await feed(ready, doc("1"))) == ["encoded"]
    assert ready.engine.calls["write"] == 1
