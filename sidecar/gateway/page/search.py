"""A search as the page shows it: hits, their bars, what was asked of the engine."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from sidecar import pipeline
from sidecar.errors import ChercheError
from sidecar.pipeline import Context
from sidecar.services import Services, index_name
from sidecar.values.curl import curl_command
from sidecar.values.documents import Json
from sidecar.values.search import Hit, SearchRequest, SearchResult

Shares = dict[str, float]


async def searched(request: SearchRequest, services: Services, context: Context) -> dict[str, Any]:
    """Search, and say of each hit what its score is made of, and whether the index is being filled.

    Raises
    ------
    ChercheError
        As `pipeline.search`.
    """
    index_name(request.index)
    with services.turns.taken(context.remaining()):
        result = await pipeline.search(replace(request, include_engine_request=True), context)
    services.measure(result)
    going = [job for job in services.jobs.listed() if job.index == request.index and job.ended is None]
    return {
        **result_json(result, request.rank_constant),
        "jobs": [{"kind": job.kind, "encoded": job.progress.encoded} for job in going],
    }


def result_json(result: SearchResult, rank_constant: int) -> dict[str, Any]:
    """A page of hits as JSON: times in milliseconds, and the engine's request as a command where it has one."""
    value = asdict(replace(result, hits=(), engine_request=None))
    value["hits"] = [{**asdict(hit), "shares": shares(hit, result.rerank.weight, rank_constant)} for hit in result.hits]
    value["timings"] = {stage: round(1000 * seconds, 3) for stage, seconds in value["timings"].items()}
    value["engine_request"] = _shown(result.engine_request or {})
    return value


def shares(hit: Hit, weight: float, rank_constant: int) -> Shares | None:
    """What each part adds to the score of a hit: they add up to it. None below the rerank window.

    The first stage of a reranked hit is scaled as a whole; its share is divided as its own sum is.

    Parameters
    ----------
    hit : Hit
    weight : float
        Share of MaxSim where the hit was reranked.
    rank_constant : int
        Of fusion rrf.
    """
    parts = hit.parts
    lexical, sparse = parts.lexical, parts.sparse
    if parts.lexical_rank is not None or parts.sparse_rank is not None:
        lexical, sparse = (
            0.0 if rank is None else 1.0 / (rank_constant + rank) for rank in (parts.lexical_rank, parts.sparse_rank)
        )
    if parts.first_stage_scaled is None or parts.maxsim_scaled is None:
        return {"lexical": lexical, "sparse": sparse, "maxsim": 0.0} if hit.score == parts.first_stage else None
    first, total = (1.0 - weight) * parts.first_stage_scaled, lexical + sparse
    of_lexical = first * lexical / total if total else first
    return {"lexical": of_lexical, "sparse": first - of_lexical, "maxsim": weight * parts.maxsim_scaled}


def _shown(request: Json) -> dict[str, Any]:
    """The engine's request, and the command or why there is none."""
    try:
        return {"request": request, "curl": curl_command("", request), "reason": ""}
    except ChercheError as error:
        return {"request": request, "curl": "", "reason": error.reason}
