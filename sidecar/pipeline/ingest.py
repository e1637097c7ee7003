"""Documents in, one result each out: parse, compare, encode, write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from cherche_models import codec
from cherche_models.types import TermWeights
from sidecar.errors import ChercheError, Code, precondition
from sidecar.pipeline import text as texts_of
from sidecar.pipeline.context import Context
from sidecar.pipeline.encode import DocumentEncoder, NeuralPart
from sidecar.protocols import Lane
from sidecar.types import Existing, IndexMeta, IngestResult, Json, Outcome, SourceDocument, StoredDocument

CHUNK_DOCUMENTS = 64
CHUNK_BYTES = 4 << 20
_IN_FLIGHT = 2


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A document that can be encoded."""

    id: str
    source: Json
    texts: tuple[str, ...]
    hash: str


@dataclass(slots=True)
class _Feed:
    """One feed: what stays the same from chunk to chunk."""

    index: str
    context: Context
    encoder: DocumentEncoder
    lane: Lane
    names: list[str]
    seen: set[bytes] = field(default_factory=set)


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
    all is not written. While a chunk is written the next is encoded. A chunk is what has
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
    meta = await context.engine.meta(index)
    if meta is None:
        raise precondition(f"index {index!r} is not set up for cherche", f"run: cherche setup {index}")
    encoder = DocumentEncoder.of(meta, context.encoders)
    feed = _Feed(index, context, encoder, lane, encoder.feature_names())
    async with aclosing(_chunks(documents)) as chunks:
        async with aclosing(_in_order(chunks, lambda chunk: _index_chunk(feed, chunk))) as answers:
            async for results in answers:
                for result in results:
                    yield result
    if refresh:
        await context.engine.refresh(index)


async def _index_chunk(feed: _Feed, chunk: Sequence[SourceDocument]) -> list[IngestResult]:
    results: dict[int, IngestResult] = {}
    parsed: dict[int, _Parsed] = {}
    for place, document in enumerate(chunk):
        try:
            parsed[place] = _parse(feed, document)
        except ChercheError as error:
            results[place] = IngestResult(document.id, "failed", error)
    try:
        existing = await feed.context.engine.read(feed.index, [p.id for p in parsed.values()])
        await _store(feed, parsed, existing, results)
    except ChercheError as error:
        for place, one in parsed.items():
            results.setdefault(place, IngestResult(one.id, "failed", error))
    return [results[place] for place in range(len(chunk))]


def _parse(feed: _Feed, document: SourceDocument) -> _Parsed:
    meta = feed.encoder.meta
    source = texts_of.parse(document, feed.context.limits.document_bytes)
    texts = texts_of.field_texts(f"document {document.id!r}", source, meta.fields)
    key = document.id.encode()
    if key in feed.seen:
        raise ChercheError(
            Code.ALREADY_EXISTS,
            f"document {document.id!r} came before in this feed",
            "give each document its own id",
        )
    feed.seen.add(key)
    return _Parsed(document.id, source, tuple(texts), texts_of.content_hash(texts, meta.fields, meta.fingerprint))


async def _store(
    feed: _Feed,
    parsed: dict[int, _Parsed],
    existing: dict[str, Existing],
    results: dict[int, IngestResult],
) -> None:
    """Decide per document what is to be done, encode what must be, write, and note what became of it."""
    writes: dict[int, tuple[StoredDocument, Outcome, NeuralPart | None]] = {}
    fresh: dict[int, _Parsed] = {}
    for place, one in parsed.items():
        known = existing.get(one.id)
        reusable = _reusable(one, known, feed.encoder.meta)
        if known is None or reusable is None:
            fresh[place] = one
        elif known.source == one.source:
            results[place] = IngestResult(one.id, "unchanged", terms=len(reusable), bytes=_stored_bytes(known))
        else:
            writes[place] = (_stored(feed, one, reusable, known.codes), "reused", None)
    parts = await feed.encoder.encode(
        [one.texts for one in fresh.values()], lane=feed.lane, timeout=feed.context.remaining()
    )
    for (place, one), part in zip(fresh.items(), parts, strict=True):
        if isinstance(part, ChercheError):
            results[place] = IngestResult(one.id, "failed", _naming(part, one.id))
        else:
            writes[place] = (_stored(feed, one, part.weights, part.codes), "encoded", part)
    await _write(feed, writes, results)


async def _write(
    feed: _Feed,
    writes: dict[int, tuple[StoredDocument, Outcome, NeuralPart | None]],
    results: dict[int, IngestResult],
) -> None:
    if not writes:
        return
    answers = await feed.context.engine.write(feed.index, [document for document, _, _ in writes.values()])
    for (place, (document, outcome, part)), answer in zip(writes.items(), answers, strict=True):
        if answer.error is not None:
            results[place] = IngestResult(document.id, "failed", answer.error)
            continue
        results[place] = IngestResult(
            document.id,
            outcome,
            truncated=part.truncated if part else False,
            tokens=part.tokens if part else 0,
            terms=len(document.features or ()),
            bytes=len(document.terms or b"") + len(document.codes or b""),
        )


def _reusable(one: _Parsed, known: Existing | None, meta: IndexMeta) -> TermWeights | None:
    """The stored weights, if they are of this text, whole and readable."""
    if known is None or known.hash != one.hash or known.state != "ok" or known.terms is None:
        return None
    if known.codes is None and meta.fingerprint.codes:
        return None
    try:
        weights = codec.unpack_terms(known.terms)
        if known.codes is not None:
            codec.codes_header(known.codes)
    except codec.CodecError:
        return None
    return weights


def _stored(feed: _Feed, one: _Parsed, weights: TermWeights, codes: bytes | None) -> StoredDocument:
    features = {feed.names[i]: weight for i, weight in weights.items()}
    return StoredDocument(one.id, one.source, one.hash, "ok", features, codec.pack_terms(weights), codes)


def _stored_bytes(known: Existing) -> int:
    return len(known.terms or b"") + len(known.codes or b"")


def _naming(error: ChercheError, item: str) -> ChercheError:
    """The same error, naming the document."""
    reason = error.reason if repr(item) in error.reason else f"document {item!r}: {error.reason}"
    return ChercheError(error.code, reason, error.next_step, retry_after=error.retry_after)


async def _chunks(documents: AsyncIterator[SourceDocument]) -> AsyncGenerator[list[SourceDocument], None]:
    """What has arrived, up to a chunk: never waits for more than the first document."""
    queue: asyncio.Queue[SourceDocument | None] = asyncio.Queue(maxsize=2 * CHUNK_DOCUMENTS)

    async def read() -> None:
        try:
            async for document in documents:
                await queue.put(document)
        finally:
            await queue.put(None)

    reader = asyncio.create_task(read())
    try:
        ended = False
        while not ended and (first := await queue.get()) is not None:
            chunk, size = [first], len(first.raw)
            while len(chunk) < CHUNK_DOCUMENTS and size < CHUNK_BYTES and not queue.empty():
                more = queue.get_nowait()
                if more is None:
                    ended = True
                    break
                chunk.append(more)
                size += len(more.raw)
            yield chunk
        await reader
    finally:
        reader.cancel()


async def _in_order(
    chunks: AsyncIterator[list[SourceDocument]],
    work: Callable[[list[SourceDocument]], Coroutine[None, None, list[IngestResult]]],
) -> AsyncGenerator[list[IngestResult], None]:
    """Work on two chunks at once, answer in order; a finished chunk is answered before more is read."""
    running: list[asyncio.Task[list[IngestResult]]] = []
    following: asyncio.Task[list[SourceDocument] | None] | None = asyncio.create_task(_next(chunks))
    try:
        while running or following is not None:
            await _first_done(running, following)
            if running and running[0].done():
                yield running.pop(0).result()
            elif following is not None and following.done():
                chunk = following.result()
                following = None
                if chunk is not None:
                    running.append(asyncio.create_task(work(chunk)))
                    following = asyncio.create_task(_next(chunks))
    finally:
        unfinished: list[asyncio.Task[Any]] = [*running, *([following] if following is not None else [])]
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)


async def _next(chunks: AsyncIterator[list[SourceDocument]]) -> list[SourceDocument] | None:
    return await anext(chunks, None)


async def _first_done(
    running: list[asyncio.Task[list[IngestResult]]], following: asyncio.Task[list[SourceDocument] | None] | None
) -> None:
    """Wait for the oldest chunk's end, or for the next chunk where there is room for it."""
    waiting: list[asyncio.Task[Any]] = [*running[:1]]
    if following is not None and len(running) < _IN_FLIGHT:
        waiting.append(following)
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
