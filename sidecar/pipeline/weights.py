"""What fields of another kind than rank_features hold weights for, and what they cannot do. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from sidecar.errors import precondition
from sidecar.protocols import Encoder
from sidecar.values.documents import RANK_FEATURES, SEISMIC
from sidecar.values.index import IndexGroup, IndexMeta
from sidecar.values.search import SearchRequest


def weights_of(groups: Sequence[IndexGroup]) -> str:
    """How the indices behind a name hold weights.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION where one query cannot search all of them.
    """
    kinds = {group.meta.weights if group.meta else RANK_FEATURES for group in groups}
    if SEISMIC not in kinds:
        return RANK_FEATURES
    if len(groups) > 1:
        names = ", ".join(name for group in groups for name in group.names)
        raise precondition(
            f"{names}: a neural_sparse query of {SEISMIC} weights searches indices of one setup", "search one of them"
        )
    return SEISMIC


def ends_with_candidates(request: SearchRequest, meta: IndexMeta) -> bool:
    """Whether the order of hits ends with the candidates.

    A deeper page of Seismic's would be of more candidates, among which hits of the pages before had other scores.
    Fusion by ranks has one window for all pages.
    """
    by_ranks = request.fusion == "rrf" and request.mode == "hybrid"
    return meta.weights == SEISMIC and request.mode != "bm25" and not by_ranks


def check_countable(encoder: Encoder, meta: IndexMeta) -> None:
    """Refuse to weigh query terms by their frequencies where no query counts documents with a term.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION.
    """
    if meta.weights == SEISMIC:
        raise precondition(
            f"model {encoder.info.name!r} brings no idf table, and documents cannot be counted by {SEISMIC} weights",
            "use the query mode full or pruned",
        )


def check_plugin(meta: IndexMeta) -> None:
    """Refuse a query of the plugin inside the cluster, whose clauses are those of rank_features.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION.
    """
    if meta.weights == SEISMIC:
        raise precondition(
            f"the index keeps its weights for {SEISMIC}, which the plugin's query processor does not search",
            f"search through the sidecar, or set an index up with --weights {RANK_FEATURES}",
        )
