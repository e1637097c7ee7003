"""What callers await in front of a model, and the threads that run it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from cherche_models.types import Encoding, Tokens
from sidecar.errors import ChercheError, Code, unavailable
from sidecar.models.admission import Admission, BatchOptions
from sidecar.models.isolate import checked, each, encoding_failure, is_out_of_memory
from sidecar.models.queue import LANES, Job, padded_tokens
from sidecar.models.worker import Worker, Workers
from sidecar.observe import telemetry
from sidecar.protocols import BatchObserver, Model
from sidecar.values.model import Encoded, Kind, Lane, ModelDescription

Outcome = Encoded | ChercheError

_TOKENIZE_AT_ONCE = 256
_SHORT = 512  # characters that are read sooner than a thread begins


class _Unobserved:
    """Keeps nothing of what the batcher reports."""

    def queue(self, lane: Lane, waiting: int, oldest: float) -> None: ...

    def batch(self, real: int, padded: int, seconds: float) -> None: ...

    def dropped(self, count: int) -> None: ...

    def refused(self, lane: Lane) -> None: ...

    def isolated(self, reason: str) -> None: ...


@dataclass(slots=True, eq=False)
class _Call:
    """One caller's texts on their way; `outcomes` fills up in any order."""

    future: asyncio.Future[None]
    outcomes: list[Outcome | None]
    missing: int

    def put(self, position: int, outcome: Outcome) -> None:
        # `aclose` may have answered for a pass that ends later.
        if self.outcomes[position] is None:
            self.outcomes[position] = outcome
            self.missing -= 1
        if not self.missing and not self.future.done():
            self.future.set_result(None)


@dataclass(frozen=True, slots=True, eq=False)
class _Ticket(Job):
    call: _Call = field(kw_only=True)
    position: int = field(kw_only=True)
    tokenize: float = field(kw_only=True)


class Batcher:
    """A model behind its queue; see `sidecar.protocols.Encoder`.

    One thread runs everything, or two, where the model encodes queries beside documents: then the one for documents
    gives way. Created in a running event loop; `aclose` ends them.

    Parameters
    ----------
    model : Model
    options : BatchOptions
    observer : BatchObserver or None
    clock : callable
        Monotonic seconds.
    name : str
        The name it is served under, where that is not the model's own.
    """

    def __init__(
        self,
        model: Model,
        options: BatchOptions | None = None,
        observer: BatchObserver | None = None,
        clock: Callable[[], float] = time.monotonic,
        name: str = "",
    ) -> None:
        self._model = model
        self._info = replace(model.info, name=name or model.info.name)
        self._options = options or BatchOptions()
        self._observer: BatchObserver = observer or _Unobserved()
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._closing = False
        self._preparing: asyncio.Task[None] | None = None
        self._tokenizers = ThreadPoolExecutor(2, thread_name_prefix=f"tokenize-{self._info.name}")
        apart = model.concurrent_queries
        by_lane = dict.fromkeys(LANES, self._worker(f"model-{self._info.name}", gives_way=apart))
        if apart:
            by_lane["query"] = self._worker(f"queries-{self._info.name}")
        self._workers = Workers(by_lane)
        self._admission = Admission(
            self._info, self._workers, self._options, self._observer, clock, queries_apart=apart
        )

    @property
    def info(self) -> ModelDescription:
        """What the model is."""
        return self._info

    @property
    def waiting(self) -> int:
        """Texts that wait for a place in a batch."""
        return len(self._workers)

    def kept(self, tokens: Tokens, kind: Kind) -> list[int]:
        """As `Model.kept`."""
        return self._model.kept(tokens, kind)

    def idf(self, tokens: Tokens) -> dict[int, float] | None:
        """As `Model.idf`."""
        return self._model.idf(tokens)

    async def tokenize(
        self, texts: Sequence[str], kind: Kind, max_length: int = 0, *, beyond: bool = False
    ) -> list[Tokens]:
        """Tokens only; all but short texts off the event loop.

        Raises
        ------
        ChercheError
            Of the first text that cannot be read.
        """
        tokens = await self._tokenize(texts, kind, max_length, beyond=beyond)
        for item in tokens:
            if isinstance(item, ChercheError):
                raise item
        return [item for item in tokens if isinstance(item, Tokens)]

    async def encode(
        self,
        texts: Sequence[str],
        kind: Kind,
        *,
        lane: Lane,
        max_length: int = 0,
        timeout: float | None = None,
    ) -> list[Outcome]:
        """Encode texts in shared batches; see `sidecar.protocols.Encoder.encode`."""
        self._admit(len(texts), lane, timeout)
        started = self._clock()
        async with _Deadline(timeout, self._info.name):
            await self._prepare(kind)
            with self._admission.tokenizing(texts, kind, lane, max_length):
                tokens = await self._tokenize(texts, kind, max_length)
            spent = self._clock() - started
            if telemetry.has_stages():
                telemetry.stage_of_past("tokenize", spent, 0.0, **self._described(len(texts), lane))
            return await self._encode(tokens, kind, lane, _left(timeout, spent), spent)

    async def encode_tokens(
        self, tokens: Sequence[Tokens], kind: Kind, *, lane: Lane, timeout: float | None = None
    ) -> list[Outcome]:
        """The same from tokens; see `sidecar.protocols.Encoder.encode_tokens`."""
        self._admit(len(tokens), lane, timeout)
        async with _Deadline(timeout, self._info.name):
            await self._prepare(kind)
            return await self._encode(tokens, kind, lane, timeout, 0.0)

    async def aclose(self, grace: float = 30.0) -> None:
        """Refuse new work, finish what waits, end the threads; what is left after `grace` fails."""
        self._closing = True
        left = await self._workers.end(grace)
        self._deliver([(ticket, self._stopping()) for ticket in left])
        self._tokenizers.shutdown(wait=False, cancel_futures=True)

    async def _prepare(self, kind: Kind) -> None:
        """Have the model ready for texts of a kind; it answers the others meanwhile. Callers await the same work."""
        work = self._model.prepare(kind)
        if work is not None:
            if self._preparing is None or self._preparing.done():
                self._preparing = asyncio.create_task(asyncio.to_thread(work))
            await asyncio.shield(self._preparing)  # a caller that hangs up does not end it

    async def _tokenize(
        self, texts: Sequence[str], kind: Kind, max_length: int, *, beyond: bool = False
    ) -> list[Tokens | ChercheError]:
        def read(part: Sequence[str]) -> list[Tokens | ChercheError]:
            return each(
                lambda some: self._model.tokenize(some, kind, max_length, beyond=beyond),
                part,
                lambda error: encoding_failure(self._info.name, error),
            )

        if sum(map(len, texts)) <= _SHORT:
            return read(texts)
        parts = [texts[at : at + _TOKENIZE_AT_ONCE] for at in range(0, len(texts), _TOKENIZE_AT_ONCE)]
        tokens: list[Tokens | ChercheError] = []
        # Part by part, so that a large call does not keep the tokenizer's threads from small ones.
        for part in parts:
            tokens += await self._loop.run_in_executor(self._tokenizers, read, part)
        return tokens

    async def _encode(
        self,
        tokens: Sequence[Tokens | ChercheError],
        kind: Kind,
        lane: Lane,
        timeout: float | None,
        spent: float,
    ) -> list[Outcome]:
        # Again, as the number of tokens is known only now.
        self._admit(len(tokens), lane, timeout, sum(len(t) for t in tokens if isinstance(t, Tokens)))
        call = _Call(self._loop.create_future(), [None] * len(tokens), len(tokens))
        now = self._clock()
        deadline = None if timeout is None else now + timeout
        tickets = []
        for position, item in enumerate(tokens):
            if isinstance(item, ChercheError):
                call.put(position, item)
            else:
                tickets.append(_Ticket(item, kind, lane, now, deadline, call=call, position=position, tokenize=spent))
        if tickets:
            self._enqueue(tickets)
            await call.future
            if telemetry.has_stages():
                self._trace(call.outcomes, self._clock() - now, lane)
        return [outcome for outcome in call.outcomes if outcome is not None]

    def _trace(self, outcomes: Sequence[Outcome | None], waited: float, lane: Lane) -> None:
        """Spans of a call that entered the queue `waited` seconds ago; of its batches, from the first to the last."""
        passes = [(one.queue, one.queue + one.encode) for one in outcomes if isinstance(one, Encoded)]
        if passes:
            described = self._described(len(passes), lane)
            first, last = min(began for began, _ in passes), max(ended for _, ended in passes)
            telemetry.stage_of_past("queue", waited, waited - first, **described)
            telemetry.stage_of_past("encode", waited - first, waited - last, **described)

    def _described(self, texts: int, lane: Lane) -> dict[str, str | int]:
        return {"cherche.model": self._info.name, "cherche.lane": lane, "cherche.texts": texts}

    def _enqueue(self, tickets: Sequence[_Ticket]) -> None:
        lane = tickets[0].lane
        self._workers[lane].add(tickets)
        self.taken(lane)

    def _worker(self, name: str, *, gives_way: bool = False) -> Worker[_Ticket]:
        own = self._options
        return Worker(name, self, own.max_wait, self._clock, gives_way=gives_way, packs=own.packs)

    def budget(self, lane: Lane) -> int:
        """As `Admission.budget`."""
        return self._admission.budget(lane)

    def abandoned(self, now: float, ticket: _Ticket) -> bool:
        """Whether its caller has left, or its time is up."""
        return ticket.call.future.done() or (ticket.deadline is not None and ticket.deadline <= now)

    def dropped(self, tickets: list[_Ticket]) -> None:
        """Answer texts that nobody waits for."""
        self._hand_over([(ticket, _expired(self._info.name)) for ticket in tickets])
        self._observer.dropped(len(tickets))

    def taken(self, lane: Lane) -> None:
        """Report what waits now."""
        oldest = self._workers.oldest()
        age = 0.0 if oldest is None else max(0.0, self._clock() - oldest)
        self._observer.queue(lane, self._workers.depth(lane), age)

    def run(self, batch: list[_Ticket]) -> None:
        """Encode a batch, hand the results over, and take note of the time."""
        started = self._clock()
        try:
            outcomes = self._run(batch)
        except Exception as error:  # a thread that dies would leave every caller waiting
            outcomes = [encoding_failure(self._info.name, error)] * len(batch)
        self._hand_over(list(zip(batch, outcomes, strict=True)))
        self._measure(batch, self._clock() - started)

    def _stopping(self) -> ChercheError:
        return unavailable(f"model {self._info.name!r} is being stopped", "try another sidecar, or again soon")

    def _admit(self, items: int, lane: Lane, timeout: float | None, tokens: int = 0) -> None:
        """Let a call in, or refuse it before it costs anything."""
        if self._closing:
            raise self._stopping()
        self._admission.admit(items, lane, timeout, tokens)

    def _run(self, batch: Sequence[_Ticket]) -> list[Outcome]:
        kind = batch[0].kind
        started = self._clock()
        encodings = each(
            lambda tokens: self._model.encode(tokens, kind),
            [ticket.tokens for ticket in batch],
            lambda error: encoding_failure(self._info.name, error),
            self._split,
        )
        seconds = self._clock() - started
        return [self._outcome(t, e, started, seconds) for t, e in zip(batch, encodings, strict=True)]

    def _outcome(self, ticket: _Ticket, encoding: Encoding | ChercheError, started: float, seconds: float) -> Outcome:
        sound = encoding if isinstance(encoding, ChercheError) else checked(self._info.name, encoding)
        if isinstance(sound, ChercheError):
            return sound
        return Encoded(ticket.tokens, sound, ticket.tokenize, started - ticket.arrived, seconds)

    def _split(self, error: Exception) -> None:
        """A batch failed: remember a smaller budget where memory was the reason."""
        if is_out_of_memory(error):
            self._admission.halve()
            self._observer.isolated("memory")
        else:
            self._observer.isolated("poison")

    def _measure(self, batch: Sequence[_Ticket], seconds: float) -> None:
        lengths = [ticket.length for ticket in batch]
        oldest = min(ticket.arrived for ticket in batch)
        self._admission.measured(batch[0].lane, sum(lengths), seconds, oldest)
        self._observer.batch(sum(lengths), padded_tokens(lengths), seconds)

    def _hand_over(self, results: list[tuple[_Ticket, Outcome]]) -> None:
        """Back to the event loop; a loop that is gone has nobody waiting."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._deliver, results)

    @staticmethod
    def _deliver(results: Sequence[tuple[_Ticket, Outcome]]) -> None:
        for ticket, outcome in results:
            ticket.call.put(ticket.position, outcome)


class _Deadline:
    """`asyncio.timeout` that speaks of the model."""

    def __init__(self, seconds: float | None, model: str) -> None:
        self._timeout = asyncio.timeout(seconds)
        self._model = model

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            await self._timeout.__aexit__(kind, error, None)
        except TimeoutError:
            raise _expired(self._model) from None


def _left(timeout: float | None, spent: float) -> float | None:
    return None if timeout is None else max(0.0, timeout - spent)


def _expired(model: str) -> ChercheError:
    return ChercheError(
        Code.DEADLINE_EXCEEDED, f"model {model!r} did not answer in time", "allow more time, or send less at once"
    )
