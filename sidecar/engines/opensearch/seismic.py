"""Weights in the ``sparse_vector`` field of OpenSearch's neural-search, which Seismic searches (arXiv:2404.18812).

Field: docs.opensearch.org/latest/mappings/supported-field-types/sparse-vector; setting and query:
docs.opensearch.org/latest/vector-search/ai-search/neural-sparse-ann. What they leave open is read in the sources of
opensearch-project/neural-search, below as neural-search. Nothing here was run against the plugin.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sidecar.engines.opensearch import answers
from sidecar.engines.opensearch.dialect import Dialect
from sidecar.engines.opensearch.http import Http, Request
from sidecar.engines.opensearch.values import JsonValue
from sidecar.errors import ChercheError, Code, precondition
from sidecar.values.clauses import SPARSE
from sidecar.values.documents import RANK_FEATURES, SEISMIC, SPARSE_VECTOR, WEIGHTS, Json
from sidecar.values.first_stage import SparseClause

PLUGIN = "opensearch-neural-search"
SETTING = "index.sparse"  # final: an index has it from its creation on, or never (neural-search SparseSettings)
# Weights above the ceiling are cut to it, and by default it is 3. log(1 + logit) reaches 4 with a logit of 54. The rest
# is left to the plugin: `engine`, which releases before 3.9 refuse, is lucene.
FIELD: Json = {
    "type": SPARSE_VECTOR,
    "method": {"name": "seismic", "parameters": {"quantization_ceiling_ingest": 4.0}},
}
# The plugin's own defaults, so that a request says what ran: of so many of the heaviest terms postings are read, and
# clusters whose summary scores less than 1 / `heap_factor` of the worst kept hit are skipped. All terms score.
TOP_N, HEAP_FACTOR = 10, 1.0
NOTE = (
    "weights are kept for neural-search's Seismic, which this release was not run against: segments below "
    "method.parameters.approximate_threshold, a million documents, are searched exactly and slower than rank_features; "
    "in larger ones only the nearest hits have a sparse score"
)
_SINCE = (3, 3)


def kind(spec: Json) -> str:
    """How a field holds weights.

    >>> kind(FIELD), kind({"type": "sparse_vector"}), kind({"type": "rank_features"})
    ('seismic', 'sparse_vector', 'rank_features')
    """
    name = str(spec.get("type", "object"))
    return SEISMIC if name == SPARSE_VECTOR and "method" in spec else name


def is_sparse(settings: Json) -> bool:
    """Whether flat settings of an index let Seismic search it."""
    return str(settings.get(SETTING, "false")).lower() == "true"


def clause(clauses: Sequence[SparseClause], boost: float, k: int, conditions: Json) -> dict[str, Any]:
    """Write `boost` · Σ query weight · document weight as a named clause.

    Parameters
    ----------
    clauses : sequence of SparseClause
        Named by decimal ids of the vocabulary.
    k : int
        Hits that are found in a segment.
    conditions : mapping
        A query for the documents that may be hits, {} for all: only as a condition of the clause itself it binds
        before the `k` best are chosen.
    """
    if not clauses:
        return {"match_none": {}}
    parameters: dict[str, Any] = {"k": k, "top_n": TOP_N, "heap_factor": HEAP_FACTOR}
    if conditions:
        parameters["filter"] = _unnamed(conditions)
    tokens = {one.name: one.weight for one in clauses}
    vector = {"neural_sparse": {WEIGHTS: {"query_tokens": tokens, "method_parameters": parameters}}}
    # The boost stays outside: a query weight above 64 is refused, and above quantization_ceiling_search it is cut.
    # function_score without a function changes no score. It hides that Seismic's scorer states 0 as its highest score
    # (neural-search OrderedPostingWithClustersScorer.getMaxScore), by which Lucene would skip hits of a union that
    # only the weights find (MaxScoreBulkScorer); it states the largest float itself (OpenSearch FunctionScoreQuery).
    return {"function_score": {"query": vector, "boost": boost, "_name": SPARSE}}


async def check(http: Http, dialect: Dialect) -> None:
    """Refuse a cluster that cannot hold such fields.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION naming what is missing where, and the next step.
    """
    instead = f"set the index up with --weights {RANK_FEATURES}"
    if not dialect.neural_sparse:
        reason = "it has no neural-search" if dialect.is_elasticsearch else "Seismic came with 3.3"
        raise precondition(f"--weights {SEISMIC}: {dialect.title} {dialect.version}: {reason}", instead)
    try:
        reply = await http.send(Request("GET", "/_nodes/plugins"), what="the plugins of the cluster")
    except ChercheError as error:
        if error.code not in (Code.PERMISSION_DENIED, Code.UNAUTHENTICATED):
            raise
        raise precondition(
            f"--weights {SEISMIC}: whether neural-search is installed is not known: {error.reason}",
            f"let somebody who has cluster:monitor/nodes/info run it, or {instead}",
        ) from error
    if lacking := _lacking(reply):
        raise precondition(
            f"--weights {SEISMIC} takes {PLUGIN} 3.3 or later on every node: {lacking}",
            f"install it, restart the nodes and run the command again, or {instead}",
        )


def _lacking(reply: JsonValue) -> str:
    """The first node without the plugin, or with one that is too old; "" where there is none."""
    with answers.reading("the plugins of the cluster"):
        for node in reply["nodes"].values():
            versions = [str(one["version"]) for one in node["plugins"] if one["name"] == PLUGIN]
            if not versions:
                return f"node {node['name']} has none"
            if tuple(map(int, re.findall(r"\d+", versions[0])[:2])) < _SINCE:
                return f"node {node['name']} has {versions[0]}"
    return ""


def _unnamed(query: JsonValue) -> Any:  # noqa: ANN401  # JSON
    """A query without names and inner hits: the search has them already, and refuses the latter twice."""
    if isinstance(query, Mapping):
        return {key: _unnamed(value) for key, value in query.items() if key not in ("_name", "inner_hits")}
    return [_unnamed(one) for one in query] if isinstance(query, list) else query
