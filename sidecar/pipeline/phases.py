"""Whether all terms find the hits of a first stage, or the heaviest find candidates that all terms then score. Pure.

`tests/contract/phases.json` holds this module and the plugin's ``Phases`` to the same answers.
"""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.pipeline.match_set import Membership
from sidecar.values.documents import SEISMIC
from sidecar.values.first_stage import CANDIDATES
from sidecar.values.index import IndexMeta
from sidecar.values.search import SearchRequest

# Parts of a search body that ask for more than the best hits by score: all that match, or another order.
_OF_ALL_HITS = ("aggs", "aggregations", "sort", "collapse", "min_score", "terminate_after")
# Boosts the query that finds the candidates, and not the one that adds to their scores (seen in 3.8.0).
_OF_ONE_QUERY = "indices_boost"


@dataclass(frozen=True, slots=True)
class Phases:
    """Terms that find candidates, and candidates of each shard; `terms` is 0 where there is one phase.

    `reason` says why the terms that were asked for do not apply.
    """

    terms: int = 0
    candidates: int = CANDIDATES
    reason: str = ""


ONE_PHASE = Phases()


def decide(
    request: SearchRequest, meta: IndexMeta, membership: Membership, *, window: int, deepest: int, several: bool
) -> Phases:
    """Decide the phases of one search.

    Candidates are ranked exactly; a hit that few of the heaviest terms and no word of BM25 find may be missing. So
    what counts or orders all hits has one phase, and the order of two ends with the candidates.

    Parameters
    ----------
    window : int
        Hits that are reranked, 0 for none: they are among the candidates.
    deepest : int
        Last hit of the page.
    several : bool
        The indices have several models.
    """
    terms = meta.first_terms if request.first_terms is None else request.first_terms
    if meta.weights == SEISMIC:
        return Phases(
            0, max(request.candidates, window), "Seismic chooses the terms that find candidates" if terms else ""
        )
    if not terms or not request.size or request.mode == "bm25" or membership.match_set == "none":
        return ONE_PHASE
    candidates = max(request.candidates, window)
    body = next((key for key in (*_OF_ALL_HITS, _OF_ONE_QUERY) if key in request.body), "")
    if membership.match_set != "union":
        reason = "the query alone decides which documents match"
    elif request.fusion == "rrf" and request.mode == "hybrid":
        reason = "fusion rrf ranks each part by itself"
    elif several:
        reason = "the indices have several models"
    elif body:
        reason = f"the request has {body}"
    elif request.body.get("track_total_hits") is True:
        reason = "the request counts all hits"
    elif deepest > candidates:
        reason = f"hit {deepest:,} lies below {candidates:,} candidates"
    else:
        return Phases(terms, candidates)
    return Phases(reason=reason)
