"""Why a hit is where it is, as the page draws it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from pydantic import BaseModel

from sidecar.gateway.page.search import shares
from sidecar.pipeline import Context
from sidecar.pipeline.reading import Reading, read_hit
from sidecar.services import Services, index_name
from sidecar.values.search import SearchRequest, SearchResult

_DIGITS = 4


class WhyBody(BaseModel):
    """A search, and the hit of it that is asked about."""

    search: SearchRequest
    id: str


async def explained(body: WhyBody, services: Services, context: Context) -> dict[str, Any]:
    """Read one hit of a search.

    Raises
    ------
    ChercheError
        As `read_hit`.
    """
    index_name(body.search.index)
    result, reading = await read_hit(body.search, context, body.id)
    services.measure(result)
    return why_json(result, reading, body.search.rank_constant)


def why_json(result: SearchResult, reading: Reading, rank_constant: int) -> dict[str, Any]:
    """A reading as JSON, with what each part adds to the score of the hit."""
    shown = shares(reading.hit, result.rerank.weight, rank_constant)
    return reading_json(reading) | {"shares": shown, "rerank_weight": result.rerank.weight}


def reading_json(reading: Reading) -> dict[str, Any]:
    """A reading as JSON; `best` is the document token of each query token."""
    one, matrix = reading.explanation, reading.similarities
    terms = zip(one.terms, reading.terms, strict=True)
    return {
        **asdict(reading.hit),
        "text": reading.text,
        "sparse_boost": one.sparse_boost,
        "notes": list(one.notes),
        "terms": [{**asdict(term), "places": where} for term, where in terms],
        "query_tokens": list(reading.query_tokens),
        "tokens": [{"token": token, "place": place} for token, place in reading.tokens],
        "similarities": np.round(matrix.astype(np.float64), _DIGITS).tolist(),
        "best": [match.document_position for match in one.matches],
    }
