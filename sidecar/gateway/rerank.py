"""MaxSim of a query with texts; texts that came before are not encoded again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cherche_models.types import Floats
from sidecar.errors import ChercheError, invalid, item_name
from sidecar.gateway.encode import Outcome, cut, encode, require_all
from sidecar.gateway.errors import failed_items, too_large, unprocessable
from sidecar.pipeline.encoded_texts import scorable_codes
from sidecar.protocols import Encoder
from sidecar.services import Services
from sidecar.values.search import Timings

_WHOLE, _CUT = b"\0", b"\1"


@dataclass(frozen=True, slots=True)
class Documents:
    """Documents to rank.

    Attributes
    ----------
    encoder : Encoder
    count : int
    codes : dict of int to bytes
        By place; an empty document has none.
    failures : dict of int to ChercheError
        By place.
    truncated : list of int
        Places of documents that were cut to the model's length.
    timings : Timings
    """

    encoder: Encoder
    count: int
    codes: dict[int, bytes]
    failures: dict[int, ChercheError]
    truncated: list[int]
    timings: Timings


@dataclass(frozen=True, slots=True)
class Ranking:
    """Places by falling score, ties by place; the floor score is below all others."""

    order: list[int]
    scores: Floats


def check_query(services: Services, query: str) -> None:
    """Refuse what is no query.

    Raises
    ------
    ChercheError
        422 for one of blanks, 413 for one that is too long.
    """
    most = services.limits.query_characters
    if not query.strip():
        raise unprocessable(invalid("the query is empty", "say what the documents are compared with"))
    if len(query) > most:
        raise too_large(
            f"the query has {len(query):,} characters, the limit is {most:,}",
            "shorten it, or raise CHERCHE_LIMITS__QUERY_CHARACTERS on the server",
        )


async def read(services: Services, method: str, encoder: Encoder, texts: Sequence[str]) -> Documents:
    """Codes of documents, as an index would hold them; in the lane of queries, as somebody waits.

    Raises
    ------
    ChercheError
        As `encode`.
    """
    cache, info = services.base.codes_cache, encoder.info
    keys = [cache.key(info, (info.max_document_length,), (), [text]) for text in texts]
    kept = {place: found for place, key in enumerate(keys) if (found := cache.get(key)) is not None}
    fresh = ["" if place in kept else text for place, text in enumerate(texts)]  # an empty text costs nothing
    outcome = await encode(services, method, encoder, fresh, "document", "query")
    codes, failures = await asyncio.to_thread(_packed, outcome)
    truncated = {*outcome.truncated, *(place for place, found in kept.items() if found[:1] == _CUT)}
    for place, data in codes.items():
        cache.put(keys[place], (_CUT if place in truncated else _WHOLE) + data)
    codes |= {place: found[1:] for place, found in kept.items()}
    return Documents(encoder, len(texts), codes, failures, sorted(truncated), outcome.timings)


async def rank(services: Services, query: Outcome, documents: Documents, *, uncut: bool = False) -> Ranking:
    """MaxSim of each document with the query.

    A document that cannot be scored, or is empty, gets a score below all others: every document must be in
    the answer, and one bad document must not cost a search its ranking.

    Raises
    ------
    ChercheError
        422 for a query without tokens; where no document can be scored though some have text; with `uncut`,
        for documents that were cut.
    """
    require_all(query)
    embeddings = query.encoded[0].encoding.embeddings if query.encoded[0] is not None else None
    if embeddings is None or not len(embeddings):
        raise unprocessable(invalid("the query has no token to compare with", "give it words"))
    if uncut and documents.truncated:
        raise failed_items(cut(documents.encoder, documents.truncated), documents.count)
    if documents.failures and not documents.codes:
        raise failed_items(documents.failures, documents.count)
    started = services.base.clock()
    scores = np.full(documents.count, -np.inf, np.float32)
    if documents.codes:
        places, codes = zip(*documents.codes.items(), strict=True)
        scores[list(places)] = await asyncio.to_thread(services.base.maxsim, embeddings, list(codes))
    services.metrics.stages(Timings(rerank=services.base.clock() - started))
    return _ranked(scores, len(embeddings))


def _ranked(scores: Floats, tokens: int) -> Ranking:
    """Order, with the floor for what has no score."""
    finite = np.isfinite(scores)
    # Rows have length 1, so no similarity is below -1 and no sum below -tokens.
    floor = min(-float(tokens), float(scores[finite].min(initial=0.0))) - 1.0
    whole = np.where(finite, scores, np.float32(floor))
    return Ranking(np.argsort(-whole, kind="stable").tolist(), whole)


def _packed(outcome: Outcome) -> tuple[dict[int, bytes], dict[int, ChercheError]]:
    """Codes, and why there are none, by place."""
    texts = {place: one for place, one in enumerate(outcome.encoded) if one is not None}
    made: Mapping[int, bytes | ChercheError] = {
        place: scorable_codes(one, item_name("document", place, "")) for place, one in texts.items()
    }
    codes = {place: one for place, one in made.items() if isinstance(one, bytes)}
    failed = {place: one for place, one in made.items() if isinstance(one, ChercheError)}
    return codes, {**outcome.failures, **failed}
