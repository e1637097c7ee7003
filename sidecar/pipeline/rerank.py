"""MaxSim over a window of hits, and what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cherche_models import codec, fuse
from cherche_models.types import TokenEmbeddings
from sidecar.errors import ChercheError, Code
from sidecar.pipeline.context import Context
from sidecar.pipeline.text import field_texts, join
from sidecar.protocols import Encoder
from sidecar.types import EngineHit, Hit, IndexMeta, RerankOutcome, RerankStatus, ScoreParts


@dataclass(frozen=True, slots=True)
class Ranked:
    """Hits in final order, and what became of the rerank."""

    hits: tuple[Hit, ...]
    outcome: RerankOutcome


def first_stage(hits: Sequence[EngineHit], offset: int = 0) -> tuple[Hit, ...]:
    """Hits in the engine's order."""
    return tuple(_hit(hit, offset + place, hit.score, None) for place, hit in enumerate(hits, 1))


async def rerank(
    hits: Sequence[EngineHit],
    query: TokenEmbeddings,
    context: Context,
    *,
    window: int,
    weight: float,
    codes: Sequence[bytes | None],
) -> Ranked:
    """Reorder the first `window` hits by the fused score; the others keep their order below.

    Parameters
    ----------
    hits : sequence of EngineHit, in first-stage order
    query : TokenEmbeddings, shape (query tokens, dim)
    codes : sequence of bytes or None
        Token codes of each hit of the window; None where there are none.

    Returns
    -------
    Ranked. Fails open: without codes or time the first stage's order stays, and the outcome says so.
    """
    inside = list(hits[:window])
    present = [place for place, data in enumerate(codes) if data is not None]
    base = RerankOutcome(window=len(inside), weight=weight, codes_missing=len(inside) - len(present))
    if not inside:
        return Ranked((), _with(base, RerankStatus.APPLIED, "there were no hits"))
    if not present:
        reason = "no hit of the window has token codes; feed the documents again"
        return Ranked(first_stage(hits), _with(base, RerankStatus.CODES_MISSING, reason))
    try:
        async with asyncio.timeout(context.remaining()):
            similarities = await asyncio.to_thread(context.maxsim, query, [data for data in codes if data is not None])
    except TimeoutError:
        return Ranked(first_stage(hits), _with(base, RerankStatus.DEADLINE, "time ran out during MaxSim"))
    except (codec.CodecError, ValueError) as error:
        return Ranked(first_stage(hits), _with(base, RerankStatus.UNAVAILABLE, str(error)))
    maxsim = np.full(len(inside), -np.inf)
    maxsim[present] = similarities
    return _ranked(hits, inside, maxsim, base)


def _ranked(hits: Sequence[EngineHit], inside: list[EngineHit], maxsim: fuse.Values, base: RerankOutcome) -> Ranked:
    first = np.array([hit.score for hit in inside])
    fused = fuse.convex(first, maxsim, base.weight)
    first_scaled, maxsim_scaled = fuse.min_max(first), fuse.min_max(maxsim)
    ranked = [
        _hit(inside[place], place + 1, float(fused[place]), _Parts(maxsim, first_scaled, maxsim_scaled, place))
        for place in fuse.order(fused, [hit.id for hit in inside])
    ]
    ordered = [_at(hit, rank) for rank, hit in enumerate(ranked, 1)]
    below = first_stage(hits[len(inside) :], len(inside))
    scored = int(np.isfinite(maxsim).sum())
    if scored < len(inside):
        missing = len(inside) - scored
        outcome = _with(base, RerankStatus.PARTIAL, f"{missing} hits have no token codes", scored)
    else:
        outcome = _with(base, RerankStatus.APPLIED, "", scored)
    return Ranked((*ordered, *below), outcome)


async def codes_on_the_fly(
    hits: Sequence[EngineHit], encoder: Encoder, meta: IndexMeta, context: Context
) -> list[bytes | None]:
    """Encode the hits' own text where the index stores no codes; None for hits without text.

    Raises
    ------
    ChercheError
        DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED or UNAVAILABLE of the encoder.
    """
    texts: dict[int, str] = {}
    for place, hit in enumerate(hits):
        try:
            texts[place] = join(field_texts(f"hit {hit.id!r}", hit.source, meta.fields))
        except ChercheError as error:
            if error.code is not Code.INVALID_ARGUMENT:
                raise
    length = min(meta.max_length or encoder.info.max_document_length, encoder.info.max_document_length)
    encoded = await encoder.encode(
        list(texts.values()), "document", lane="query", max_length=length, timeout=context.remaining()
    )
    result: list[bytes | None] = [None] * len(hits)
    for place, one in zip(texts, encoded, strict=True):
        if not isinstance(one, ChercheError) and one.encoding.embeddings is not None:
            result[place] = await asyncio.to_thread(codec.pack_codes, one.encoding.embeddings)
    return result


@dataclass(frozen=True, slots=True)
class _Parts:
    maxsim: fuse.Values
    first_scaled: fuse.Values
    maxsim_scaled: fuse.Values
    place: int


def _hit(hit: EngineHit, first_rank: int, score: float, parts: _Parts | None) -> Hit:
    scored = parts is not None and bool(np.isfinite(parts.maxsim[parts.place]))
    return Hit(
        id=hit.id,
        rank=first_rank,
        score=score,
        parts=ScoreParts(
            lexical=hit.lexical,
            sparse=hit.sparse,
            first_stage=hit.score,
            first_stage_rank=first_rank,
            maxsim=float(parts.maxsim[parts.place]) if parts and scored else None,
            first_stage_scaled=float(parts.first_scaled[parts.place]) if parts else None,
            maxsim_scaled=float(parts.maxsim_scaled[parts.place]) if parts else None,
        ),
        source=hit.source,
        extra=hit.extra,
    )


def _at(hit: Hit, rank: int) -> Hit:
    return Hit(hit.id, rank, hit.score, hit.parts, hit.source, hit.extra)


def _with(base: RerankOutcome, status: str, reason: str, reranked: int = 0) -> RerankOutcome:
    return RerankOutcome(status, reason, base.window, reranked, base.codes_missing, base.weight)
