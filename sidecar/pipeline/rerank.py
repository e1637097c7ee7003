"""MaxSim over a window of hits, and what became of it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cherche_models import codec, fuse
from cherche_models.types import TokenEmbeddings
from sidecar.errors import ChercheError
from sidecar.pipeline.context import Context
from sidecar.pipeline.encode import document_length, encode_documents
from sidecar.pipeline.text import field_texts, has_text
from sidecar.protocols import Encoder
from sidecar.values.first_stage import EngineHit, Hits
from sidecar.values.index import IndexMeta
from sidecar.values.made import Made
from sidecar.values.model import Encoded
from sidecar.values.search import Hit, RerankOutcome, RerankStatus, ScoreParts

NOT_STORED = "have no token codes: feed their documents again"
NO_TEXT = "have no text that can be encoded"


@dataclass(frozen=True, slots=True)
class Ranked:
    """Hits in final order, made when they are looked at, and what became of the rerank."""

    hits: Sequence[Hit]
    outcome: RerankOutcome


def first_stage(hits: Sequence[EngineHit], offset: int = 0) -> Sequence[Hit]:
    """Hits in the engine's order."""
    return Made(len(hits), lambda place: _unranked(hits[place], offset + place + 1))


def below_window(hits: Sequence[EngineHit], offset: int) -> Sequence[Hit]:
    """Hits in the engine's order, with scores below those of a window that was reranked."""
    return Made(len(hits), lambda place: _below(hits[place], offset + place + 1))


async def rerank(
    hits: Sequence[EngineHit],
    query: TokenEmbeddings,
    context: Context,
    *,
    window: int,
    weight: float,
    codes: Sequence[bytes | None],
    lacking: str = NOT_STORED,
) -> Ranked:
    """Reorder the first `window` hits by the fused score; the others keep their order and score below.

    Parameters
    ----------
    hits : sequence of EngineHit, in first-stage order
    query : TokenEmbeddings, shape (query tokens, dim)
    codes : sequence of bytes or None
        Token codes of each hit of the window; None where there are none.
    lacking : str
        What is said of hits that have none.

    Returns
    -------
    Ranked. Fails open: without codes or time the first stage's order stays, and the outcome says so.
    A hit without readable codes keeps its place by the first stage alone.
    """
    inside = min(window, len(hits))
    outcome = RerankOutcome(RerankStatus.APPLIED, window=inside, weight=weight)
    if not inside:
        return Ranked((), replace(outcome, reason="there were no hits"))
    try:
        # The thread cannot be stopped: it finishes, and its scores are dropped.
        async with asyncio.timeout(context.remaining()):
            similarities = await asyncio.to_thread(context.maxsim, query, codes)
    except TimeoutError:
        late = replace(outcome, status=RerankStatus.DEADLINE, reason="time ran out during MaxSim")
        return Ranked(first_stage(hits), late)
    except ValueError as error:
        return Ranked(first_stage(hits), replace(outcome, status=RerankStatus.UNAVAILABLE, reason=str(error)))
    maxsim = np.asarray(similarities, np.float64)
    scored = int(np.isfinite(maxsim).sum())
    outcome = replace(outcome, reranked=scored, codes_missing=inside - scored)
    if scored == inside:
        return _ranked(hits, maxsim, outcome)
    reason = f"{inside - scored} of {inside} hits {_why_unscored(maxsim, codes, query.dim, lacking)}"
    if scored == 0:
        return Ranked(first_stage(hits), replace(outcome, status=RerankStatus.CODES_MISSING, reason=reason))
    return _ranked(hits, maxsim, replace(outcome, status=RerankStatus.PARTIAL, reason=reason))


def _why_unscored(maxsim: fuse.Values, codes: Sequence[bytes | None], dim: int, lacking: str) -> str:
    """What is wrong with the codes that gave no score; the first one that is damaged speaks for all."""
    unscored = [data for data, score in zip(codes, maxsim, strict=True) if data is not None and not np.isfinite(score)]
    _, failures = codec.unpack_many(unscored, dim)
    if failures:
        return f"have codes that cannot be read: {failures[min(failures)]}"
    if len(unscored) == int((~np.isfinite(maxsim)).sum()):
        return "hold no token that the model knows"
    return lacking


def _ranked(hits: Sequence[EngineHit], maxsim: fuse.Values, base: RerankOutcome) -> Ranked:
    held, inside = Hits.of(hits), len(maxsim)
    first = np.array(held.scores[:inside])
    fused = fuse.convex(first, maxsim, base.weight)
    first_scaled, maxsim_scaled = fuse.min_max(first), fuse.min_max(maxsim)
    rows = np.stack([fused, maxsim, first_scaled, maxsim_scaled], axis=1).tolist()
    order = fuse.order(fused, held.ids[:inside])

    def make(place: int) -> Hit:
        if place >= inside:
            return _below(hits[place], place + 1)
        at = order[place]
        return _hit(hits[at], place + 1, at + 1, rows[at][0], rows[at][1:])

    return Ranked(Made(len(hits), make), base)


async def codes_on_the_fly(
    hits: Sequence[EngineHit], encoder: Encoder, meta: IndexMeta, context: Context
) -> list[bytes | None]:
    """Encode the hits' own text where the index stores no codes, unless it was lately; None where that gives none.

    Raises
    ------
    ChercheError
        DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED or UNAVAILABLE of the encoder.
    """
    shares, length = [field.token_share for field in meta.fields], document_length(meta, encoder)
    texts = [readable_texts(hit, meta) for hit in hits]
    lengths = (length, meta.chunks.most, meta.chunks.overlap)
    keys = [context.codes_cache.key(encoder.info, lengths, shares, parts) if parts else "" for parts in texts]
    codes = {key: context.codes_cache.get(key) for key in keys}
    fresh = {key: parts for key, parts in zip(keys, texts, strict=True) if parts and codes[key] is None}
    # In the lane of queries: a user waits for these documents.
    encoded = await encode_documents(encoder, list(fresh.values()), meta, context, lane="rerank")
    packed = await asyncio.to_thread(lambda: [_packed(one) for one in encoded])
    for key, data in zip(fresh, packed, strict=True):
        codes[key] = data
        if data is not None:
            context.codes_cache.put(key, data)
    return [codes[key] for key in keys]


def readable_texts(hit: EngineHit, meta: IndexMeta) -> list[str]:
    """The text of each field; empty where a hit has none that could be encoded."""
    try:
        texts = field_texts(f"hit {hit.id!r}", hit.source, meta.fields)
    except ChercheError:
        return []
    return texts if has_text(texts) else []


def _packed(one: Encoded | ChercheError) -> bytes | None:
    if isinstance(one, ChercheError) or one.encoding.embeddings is None:
        return None
    try:
        return codec.pack_codes(one.encoding.embeddings, chunks=one.chunks)
    except ValueError:
        return None


def _unranked(hit: EngineHit, rank: int) -> Hit:
    return _hit(hit, rank, rank, hit.score, None)


def _below(hit: EngineHit, rank: int) -> Hit:
    return replace(_unranked(hit, rank), score=fuse.below(hit.score))


def _hit(hit: EngineHit, rank: int, first_rank: int, score: float, reranked: Sequence[float] | None) -> Hit:
    """A hit; `reranked` is its MaxSim (-inf without codes), and first stage and MaxSim scaled."""
    maxsim, first_scaled, maxsim_scaled = reranked or (None, None, None)
    return Hit(
        id=hit.id,
        rank=rank,
        score=score,
        parts=ScoreParts(
            lexical=hit.lexical,
            sparse=hit.sparse,
            first_stage=hit.score,
            first_stage_rank=first_rank,
            maxsim=maxsim if maxsim is not None and math.isfinite(maxsim) else None,
            first_stage_scaled=first_scaled,
            maxsim_scaled=maxsim_scaled,
            lexical_rank=hit.lexical_rank,
            sparse_rank=hit.sparse_rank,
        ),
        source=hit.source,
        extra=hit.extra,
    )
