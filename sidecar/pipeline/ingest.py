"""Documents in, one result each out: parse, compare, encode, write."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from sidecar.errors import ChercheError, precondition, unavailable
from sidecar.pipeline import stored
from sidecar.pipeline.context import Context
from sidecar.pipeline.encode import DocumentEncoder
from sidecar.pipeline.stored import EncodableDocument, EncodedDocument
from sidecar.pipeline.stream import IN_FLIGHT, Bounds, batches_of_arrivals, in_order
from sidecar.values.documents import IngestResult, SourceDocument, StoredDocument
from sidecar.values.model import Lane

_ATTEMPTS = 4
ITEMS = 512
"""Documents of a batch: texts of equal length share a pass, see `cherche_models.runtime.batches.plan`."""
ANSWERED_WITHIN = 10.0
"""Seconds from a batch to its answers, far below `limits.deadline`: a client gives up after so long a silence."""
FIRST_BYTES, LEAST_BYTES, MOST_BYTES = 1 << 16, 1 << 12, 1 << 20


def next_bytes(now: int, size: int, seconds: float) -> int:
    """Bytes of the next batch, so that this machine, as busy as it is, answers it in time.

    Parameters
    ----------
    now : int
        Bytes that the last batch could have.
    size, seconds
        What it had, and how long it took.

    >>> next_bytes(65_536, 65_536, 40.0), next_bytes(65_536, 65_536, 1.0)
    (16384, 131072)
    """
    within = int(size * ANSWERED_WITHIN / max(seconds, 1e-3))
    return min(MOST_BYTES, 2 * now, max(LEAST_BYTES, within))


@dataclass(frozen=True, slots=True)
class _Target:
    """What a name stands for, and how its documents are encoded."""

    identities: frozenset[str]
    encoder: DocumentEncoder
    names: Sequence[str]
    is_routed: bool

    @classmethod
    async def of(cls, index: str, context: Context) -> _Target:
        """Ask the engine.

        Raises
        ------
        ChercheError
            NOT_FOUND or FAILED_PRECONDITION where the index cannot take documents at all.
        """
        identities = await context.engine.identities(index)
        meta = await context.engine.meta(index)
        if meta is None:
            raise precondition(f"index {index!r} is not set up for cherche", f"run: cherche setup {index}")
        encoder = DocumentEncoder.of(meta, context.encoders)
        return cls(identities, encoder, encoder.feature_names(), await context.engine.requires_routing(index))

    def is_still(self, now: _Target) -> bool:
        """Whether what was written for this one is where it belongs: a rollover does no harm, a switch does."""
        return self.identities <= now.identities and self.encoder.meta.fingerprint == now.encoder.meta.fingerprint


@dataclass(slots=True)
class _Feed:
    """One feed; `target` is what its next batch is encoded for."""

    index: str
    context: Context
    target: _Target
    lane: Lane
    seen: set[str] = field(default_factory=set)
    bounds: Bounds = field(default_factory=lambda: Bounds(ITEMS, FIRST_BYTES))
    ended: float = -math.inf


async def ingest(
    documents: AsyncIterator[SourceDocument],
    index: str,
    context: Context,
    *,
    lane: Lane = "ingest",
    refresh: bool = True,
) -> AsyncGenerator[IngestResult, None]:
    """Index a stream of documents.

    A document whose text did not change keeps its weights and codes; one that did not change at
    all is not written. A batch during which the name was switched to another index is written again
    there, encoded for it. While a batch is written the next is encoded. A batch is what has
    arrived, never waited for, so a caller may await each answer before sending the next document.

    Yields
    ------
    IngestResult, one per document, in order. A failed document never fails its neighbours, and
    only what the engine acknowledged has no error.

    Raises
    ------
    ChercheError
        NOT_FOUND or FAILED_PRECONDITION where the index cannot take documents at all.
    """
    feed = _Feed(index, context, await _Target.of(index, context), lane)
    arriving = batches_of_arrivals(documents, lambda document: len(document.raw), feed.bounds)
    answers = in_order(arriving, lambda batch: _timed(feed, batch))
    # Closed in reverse order: a generator cannot be closed while another awaits its next item.
    async with aclosing(arriving), aclosing(answers):
        async for results in answers:
            for result in results:
                yield result
    if refresh:
        await context.engine.refresh(index)


async def _timed(feed: _Feed, batch: Sequence[SourceDocument]) -> list[IngestResult]:
    started = time.monotonic()
    results = await _index_batch(feed, batch)
    if any(one.outcome == "encoded" for one in results):
        size = sum(len(one.raw) for one in batch)
        # Not what it waited for the batch before: a short one behind a long one would make all that follow short.
        now = time.monotonic()
        own, feed.ended = now - max(started, feed.ended), now
        feed.bounds.bytes = next_bytes(feed.bounds.bytes, size, IN_FLIGHT * own)
    return results


async def _index_batch(feed: _Feed, batch: Sequence[SourceDocument]) -> list[IngestResult]:
    """Results of one batch, in order. Its ids are taken before the first await: the batch after it sees them."""
    # Two batches are worked on at once: of two documents with one id the first could be written last.
    repeated = _repeated(feed, batch)
    results: list[IngestResult] = []
    for _ in range(_ATTEMPTS):
        target = feed.target
        results = _merged(results, await _written(feed, target, batch, repeated))
        if all(one.outcome in ("unchanged", "failed") for one in results):
            return results  # nothing was written that could be in the wrong place
        try:
            if await feed.context.engine.identities(feed.index) == target.identities:
                return results
            feed.target = await _Target.of(feed.index, feed.context)
        except ChercheError as error:
            return [_failed(one.id, one.error or error) for one in results]
        if target.is_still(feed.target):
            return results
    switched = unavailable(f"{feed.index!r} was switched to another index during each write", "feed again")
    return [_failed(one.id, one.error or switched) for one in results]


def _merged(before: Sequence[IngestResult], now: list[IngestResult]) -> list[IngestResult]:
    """Results of another attempt; a document that only it found unchanged was written by the one before."""
    if not before:
        return now
    return [
        one if new.outcome == "unchanged" and one.error is None else new for one, new in zip(before, now, strict=True)
    ]


def _repeated(feed: _Feed, batch: Sequence[SourceDocument]) -> set[int]:
    """Places of the documents whose id came before in this feed; the first of an id stands."""
    repeated = set()
    for place, document in enumerate(batch):
        if document.id in feed.seen:
            repeated.add(place)
        feed.seen.add(document.id)
    return repeated


async def _written(
    feed: _Feed, target: _Target, batch: Sequence[SourceDocument], repeated: set[int]
) -> list[IngestResult]:
    """One attempt at a batch."""
    meta, limit = target.encoder.meta, feed.context.limits.document_bytes
    read = await asyncio.to_thread(
        lambda: [
            stored.from_json(one, meta, limit, is_repeated=i in repeated, is_routed=target.is_routed)
            for i, one in enumerate(batch)
        ]
    )
    results: dict[int, IngestResult] = {}
    documents: dict[int, EncodableDocument] = {}
    for place, one in enumerate(read):
        if isinstance(one, ChercheError):
            results[place] = IngestResult(batch[place].id, "failed", one)
        else:
            documents[place] = one
    try:
        routings = {one.id: one.routing for one in documents.values()}
        known = await feed.context.engine.read(feed.index, list(routings), routings) if routings else {}
        await _store(feed, target, documents, known, results)
    except ChercheError as error:
        for place, one in documents.items():
            results.setdefault(place, _failed(one.id, error))
    return [results[place] for place in range(len(batch))]


async def _store(
    feed: _Feed,
    target: _Target,
    documents: dict[int, EncodableDocument],
    known: dict[str, StoredDocument],
    results: dict[int, IngestResult],
) -> None:
    """Judge each document, encode what must be, write, and add the results."""
    writes: dict[int, EncodedDocument] = {}
    fresh: dict[int, EncodableDocument] = {}
    for place, one in documents.items():
        held = known.get(one.id)
        judged = stored.judge(one, held, target.encoder.meta)
        if held is None or judged.weights is None:
            fresh[place] = one
        elif judged.verdict == "unchanged":
            results[place] = IngestResult(one.id, "unchanged", terms=len(judged.weights), bytes=_bytes(held))
        else:
            writes[place] = stored.reuse(one, held, judged.weights, target.names)
    encoded = await stored.encode(list(fresh.values()), target.encoder, target.names, feed.context, lane=feed.lane)
    for (place, one), made in zip(fresh.items(), encoded, strict=True):
        if isinstance(made, ChercheError):
            results[place] = _failed(one.id, made)
        else:
            writes[place] = made
    if not writes:
        return
    answers = await feed.context.engine.write(feed.index, [one.stored for one in writes.values()])
    for (place, written), answer in zip(writes.items(), answers, strict=True):
        document, part = written.stored, written.part
        results[place] = (
            _failed(document.id, answer.error)
            if answer.error is not None
            else IngestResult(
                document.id,
                "no_text" if document.state == "no_text" else "reused" if written.is_reused else "encoded",
                truncated=part.truncated,
                tokens=part.tokens,
                terms=len(part.weights),
                bytes=_bytes(document),
                unknown_language=part.unknown_language,
            )
        )


def _bytes(document: StoredDocument) -> int:
    return len(document.terms or b"") + len(document.codes or b"")


def _failed(id: str, error: ChercheError) -> IngestResult:
    """A result whose error names the document."""
    is_named = repr(id) in error.reason or f'"{id}"' in error.reason
    reason = error.reason if is_named else f"document {id!r}: {error.reason}"
    return IngestResult(id, "failed", ChercheError(error.code, reason, error.next_step, retry_after=error.retry_after))
