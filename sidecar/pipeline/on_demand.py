"""Token codes of hits that have none yet, where an index makes them on demand.

A search encodes the first of them itself, whose codes are those that a feed would have stored, and notes all of them
for whoever writes them to the index. What it cannot encode in time keeps its place by the first stage, and counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from sidecar.errors import ChercheError
from sidecar.pipeline.context import Context
from sidecar.pipeline.encode import encode_documents, packed_codes
from sidecar.pipeline.plan import Plan
from sidecar.pipeline.rerank import NOT_STORED, readable_texts
from sidecar.pipeline.text import content_hash
from sidecar.protocols import Encoder
from sidecar.values.documents import ColdDocument
from sidecar.values.first_stage import EngineHit, EnginePage, Hits
from sidecar.values.index import IndexMeta
from sidecar.values.model import Encoded, Lane

_SHARE = 0.5  # of the time that is left for the rerank: MaxSim of the other hits comes after
_WAIT = "have no token codes yet"


def lacking(planned: Plan, context: Context) -> str:
    """What a rerank says of hits without codes."""
    if not planned.makes_codes:
        return NOT_STORED
    if is_paged(planned):
        return f"{_WAIT}, and pages are ranked by stored codes alone: search once without pages"
    if context.wanted is None:
        return f"{_WAIT}, and this sidecar has no account of its own that writes them: give it a service account"
    return f"{_WAIT}: they are to be written after this search"


def is_paged(planned: Plan) -> bool:
    """Whether pages follow one another: codes that come in between would change their order."""
    return bool(planned.query_hash)


async def with_codes(page: EnginePage, planned: Plan, context: Context) -> EnginePage:
    """A page whose window has the codes that are stored, kept, or made now; never an error.

    Of a document whose text is not the one that its weights are of nothing is made: a backfill encodes it.
    """
    hits, meta, encoder = Hits.of(page.hits), planned.meta, planned.reranker
    inside = min(planned.window, len(hits))
    lacks = [place for place in range(inside) if hits.codes[place] is None]
    if encoder is None or not lacks or is_paged(planned):
        return page
    texts = {place: found for place in lacks if (found := encoded_texts(hits[place], meta))}
    hashes = {place: content_hash(found, meta.fields, meta.fingerprint) for place, found in texts.items()}
    codes = {place: context.codes_cache.get(key(hash, meta)) for place, hash in hashes.items()}
    cold = [place for place in texts if codes[place] is None][: context.limits.cold_documents]
    try:
        made = await make(
            {hashes[place]: texts[place] for place in cold}, encoder, meta, context.within(_SHARE), lane="rerank"
        )
        codes |= {place: made.get(hashes[place]) for place in cold}
    except ChercheError:
        pass  # the first stage and the hits that have codes are an answer, which says how many have none
    finally:
        # Also where the caller gave up: one that waits for less than an encoding takes would never find codes.
        if context.wanted is not None:
            context.wanted.want([cold_document(hits[place], hashes[place], planned) for place in texts])
    return replace(page, hits=_with(hits, {place: data for place, data in codes.items() if data is not None}))


def encoded_texts(hit: EngineHit, meta: IndexMeta) -> list[str]:
    """The texts of a hit whose weights are of them; empty where they are not, or nobody knows."""
    if hit.held is None or hit.held.state != "ok":
        return []
    texts = readable_texts(hit, meta)
    return texts if texts and content_hash(texts, meta.fields, meta.fingerprint) == hit.held.hash else []


def cold_document(hit: EngineHit, hash: str, planned: Plan) -> ColdDocument:
    """A hit, for whoever writes its codes."""
    return ColdDocument(hit.index or planned.names[0], hit.id, str(hit.extra.get("_routing", "")), hash)


async def make(
    texts: dict[str, list[str]], encoder: Encoder, meta: IndexMeta, context: Context, *, lane: Lane
) -> dict[str, bytes]:
    """Codes of texts by the hash of each, kept or made now, as a feed makes them; without those that give none.

    Raises
    ------
    ChercheError
        DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED or UNAVAILABLE of the encoder.
    """
    kept = {hash: context.codes_cache.get(key(hash, meta)) for hash in texts}
    fresh = [hash for hash, data in kept.items() if data is None]
    encoded = await encode_documents(encoder, [texts[hash] for hash in fresh], meta, context, lane=lane)
    packed = await asyncio.to_thread(lambda: [_packed(one, encoder, meta) for one in encoded])
    for hash, data in zip(fresh, packed, strict=True):
        kept[hash] = data
        if data is not None:
            context.codes_cache.put(key(hash, meta), data)
    return {hash: data for hash, data in kept.items() if data is not None}


def key(hash: str, meta: IndexMeta) -> str:
    """Where codes are kept: by text and by all that encodes it, so that a caller gets only those of its own hits."""
    return f"{meta.fingerprint.codes}/{hash}"


def _packed(one: Encoded | ChercheError, encoder: Encoder, meta: IndexMeta) -> bytes | None:
    if isinstance(one, ChercheError):
        return None
    try:
        return packed_codes(one, encoder, meta)
    except ValueError:
        return None


def _with(hits: Hits, made: dict[int, bytes]) -> Hits:
    """The same hits, of which some have codes now."""
    codes: Sequence[bytes | None] = [made.get(place, data) for place, data in enumerate(hits.codes)]

    def make_hit(place: int) -> EngineHit:
        hit = hits[place]
        return replace(hit, codes=made[place]) if place in made else hit

    return Hits(hits.ids, hits.scores, codes, make_hit)
