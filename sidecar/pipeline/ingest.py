"""Documents in, one result each out: parse, compare, encode, write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from cherche_models import codec
from cherche_models.types import TermWeights
from sidecar.errors import ChercheError, Code, precondition, unavailable
from sidecar.pipeline import text as texts_of
from sidecar.pipeline.context import Context
from sidecar.pipeline.encode import DocumentEncoder, NeuralPart
from sidecar.pipeline.stream import Bounds, batches_of_arrivals, in_order
from sidecar.values.documents import Existing, IngestResult, Json, Outcome, SourceDocument, StoredDocument
from sidecar.values.index import IndexMeta
from sidecar.values.model import Lane

_ATTEMPTS = 4
BATCH = Bounds(items=64, bytes=4 << 20)


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A document that can be encoded."""

    id: str
    source: Json
    texts: tuple[str, ...]
    hash: str


@dataclass(frozen=True, slots=True)
class _Target:
    """What a name stands for, and how its documents are encoded."""

    identities: frozenset[str]
    encoder: DocumentEncoder
    names: Sequence[str]

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
        return cls(identities, encoder, encoder.feature_names())

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
    arriving = batches_of_arrivals(documents, lambda document: len(document.raw), BATCH)
    answers = in_order(arriving, lambda batch: _index_batch(feed, batch))
    async with aclosing(arriving), aclosing(answers):
        async for results in answers:
            for result in results:
                yield result
    if refresh:
        await context.engine.refresh(index)


async def _index_batch(feed: _Feed, batch: Sequence[SourceDocument]) -> list[IngestResult]:
    """Results of one batch, in order. Its ids are taken before the first await: the batch after it sees them."""
    repeated = _repeated(feed, batch)
    results: list[IngestResult] = []
    for _ in range(_ATTEMPTS):
        target = feed.target
        results = _told(results, await _written(feed, target, batch, repeated))
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
    restless = unavailable(f"{feed.index!r} was switched to another index during each write", "feed again")
    return [_failed(one.id, one.error or restless) for one in results]


def _told(before: Sequence[IngestResult], now: list[IngestResult]) -> list[IngestResult]:
    """Results of another attempt; a document that only it found unchanged was written by the one before."""
    if not before:
        return now
    return [
        one if new.outcome == "unchanged" and one.error is None else new for one, new in zip(before, now, strict=True)
    ]


async def _written(
    feed: _Feed, target: _Target, batch: Sequence[SourceDocument], repeated: set[int]
) -> list[IngestResult]:
    """One attempt at a batch."""
    results: dict[int, IngestResult] = {}
    parsed: dict[int, _Parsed] = {}
    limit = feed.context.limits.document_bytes
    for place, one in enumerate(await asyncio.to_thread(_parse_all, target.encoder.meta, limit, batch, repeated)):
        if isinstance(one, ChercheError):
            results[place] = IngestResult(batch[place].id, "failed", one)
        else:
            parsed[place] = one
    try:
        existing = await feed.context.engine.read(feed.index, [one.id for one in parsed.values()]) if parsed else {}
        await _store(feed, target, parsed, existing, results)
    except ChercheError as error:
        for place, one in parsed.items():
            results.setdefault(place, _failed(one.id, error))
    return [results[place] for place in range(len(batch))]


def _repeated(feed: _Feed, batch: Sequence[SourceDocument]) -> set[int]:
    """Places of the documents whose id came before in this feed; the first of an id stands."""
    repeated = set()
    for place, document in enumerate(batch):
        if document.id in feed.seen:
            repeated.add(place)
        feed.seen.add(document.id)
    return repeated


def _parse_all(
    meta: IndexMeta, limit: int, batch: Sequence[SourceDocument], repeated: set[int]
) -> list[_Parsed | ChercheError]:
    return [_parse(meta, limit, document, place in repeated) for place, document in enumerate(batch)]


def _parse(meta: IndexMeta, limit: int, document: SourceDocument, is_repeated: bool) -> _Parsed | ChercheError:
    try:
        source = texts_of.parse(document, limit)
        if is_repeated:
            reason = f"document {document.id!r} came before in this feed"
            return ChercheError(Code.ALREADY_EXISTS, reason, "give each document its own id")
        texts = texts_of.field_texts(f"document {document.id!r}", source, meta.fields)
    except ChercheError as error:
        return error
    return _Parsed(document.id, source, tuple(texts), texts_of.content_hash(texts, meta.fields, meta.fingerprint))


async def _store(
    feed: _Feed,
    target: _Target,
    parsed: dict[int, _Parsed],
    existing: dict[str, Existing],
    results: dict[int, IngestResult],
) -> None:
    """Decide per document what is to be done, encode what must be, write, and note what became of it."""
    writes: dict[int, tuple[StoredDocument, Outcome, NeuralPart | None]] = {}
    fresh: dict[int, _Parsed] = {}
    for place, one in parsed.items():
        known = existing.get(one.id)
        reusable = _reusable(one, known, target.encoder.meta)
        if known is None or reusable is None:
            fresh[place] = one
        elif texts_of.same_json(known.source, one.source):
            results[place] = IngestResult(one.id, "unchanged", terms=len(reusable), bytes=_stored_bytes(known))
        else:
            writes[place] = (_stored(target, one, reusable, known.codes), "reused", None)
    parts = await target.encoder.encode([one.texts for one in fresh.values()], feed.context, lane=feed.lane)
    for (place, one), part in zip(fresh.items(), parts, strict=True):
        if isinstance(part, ChercheError):
            results[place] = _failed(one.id, part)
        else:
            writes[place] = (_stored(target, one, part.weights, part.codes), "encoded", part)
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
            results[place] = _failed(document.id, answer.error)
            continue
        results[place] = IngestResult(
            document.id,
            outcome,
            truncated=part.truncated if part else False,
            tokens=part.tokens if part else 0,
            terms=len(document.features or ()),
            bytes=len(document.terms or b"") + len(document.codes or b""),
            unknown_language=part.unknown_language if part else False,
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


def _stored(target: _Target, one: _Parsed, weights: TermWeights, codes: bytes | None) -> StoredDocument:
    features = {target.names[i]: weight for i, weight in weights.items()}
    return StoredDocument(one.id, one.source, one.hash, "ok", features, codec.pack_terms(weights), codes)


def _stored_bytes(known: Existing) -> int:
    return len(known.terms or b"") + len(known.codes or b"")


def _failed(id: str, error: ChercheError) -> IngestResult:
    """A result whose error names the document."""
    is_named = repr(id) in error.reason or f'"{id}"' in error.reason
    reason = error.reason if is_named else f"document {id!r}: {error.reason}"
    return IngestResult(id, "failed", ChercheError(error.code, reason, error.next_step, retry_after=error.retry_after))
