"""How products and versions differ, chosen once from ``GET /``. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.engines.opensearch.answers import part
from sidecar.engines.opensearch.http import Request, index_path
from sidecar.engines.opensearch.values import JsonValue
from sidecar.errors import ChercheError, precondition
from sidecar.values.documents import Json

# Each use extends it. Not longer, as an abandoned one counts against OpenSearch's 300 open contexts per node.
KEEP_ALIVE = "5m"
# Lucene's; Elasticsearch 8 and later allow at least as many on any node.
DEFAULT_MAX_CLAUSES = 1024
TITLES = {"opensearch": "OpenSearch", "elasticsearch": "Elasticsearch"}
# OpenSearch: points in time. Elasticsearch: `linear` of rank_feature and _shard_doc (PR 67670, PR 66093).
_OLDEST = {"opensearch": (2, 4), "elasticsearch": (7, 12)}


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a cluster understands.

    Attributes
    ----------
    product, version : str
    named_scores : bool
        ``include_named_queries_score`` (OpenSearch PR#11626, 2.13; Elasticsearch PR 94564, 8.8).
    recovery_source : bool
        ``_source.recovery_source_excludes``.
    segment_replication : bool
        ``_cat/segment_replication``, which reports how far replicas lag.
    read_preference : str
        Which copy answers a read that must see every acknowledged write; empty for any.
    states_max_clauses : bool
        Whether ``indices.query.bool.max_clause_count`` is the limit. Elasticsearch 8 ignores it and allows at
        least 1,024, more with more heap.
    search_pipelines : bool
        Whether an index may have a default search pipeline (2.9).
    sparse_vector : bool
        The ``sparse_vector`` query with weights of the caller's (elasticsearch-specification SparseVectorQuery, 8.15).
    neural_sparse : bool
        Whether a plugin may have a ``sparse_vector`` field of its own (neural-search, 3.3).
    """

    product: str
    version: str
    named_scores: bool
    recovery_source: bool
    segment_replication: bool
    read_preference: str
    states_max_clauses: bool = True
    search_pipelines: bool = False
    sparse_vector: bool = False
    neural_sparse: bool = False

    @property
    def may_hold_vectors(self) -> bool:
        """Whether weights may lie in a field of type ``sparse_vector``."""
        return self.sparse_vector or self.neural_sparse

    @property
    def title(self) -> str:
        """The product as people write it."""
        return TITLES[self.product]

    @property
    def is_elasticsearch(self) -> bool:
        """Whether the product is Elasticsearch."""
        return self.product == "elasticsearch"

    @property
    def scan_order(self) -> list[dict[str, str]]:
        """Order in which all documents of a point in time are read.

        Elasticsearch keeps ids out of doc values: sorting by them builds fielddata on the heap, is
        deprecated in 7 and refused by 8 (elastic/elasticsearch#64511).
        """
        return [{"_shard_doc": "asc"}] if self.is_elasticsearch else [{"_id": "asc"}]

    def search(self, index: str, body: Json, params: Mapping[str, str] | None = None) -> Request:
        """Search one index past its default pipeline, which would rewrite or cut what is searched for.

        >>> choose({"version": {"distribution": "opensearch", "number": "3.8.0"}}).search("a", {}).params
        {'search_pipeline': '_none'}
        """
        own = {"search_pipeline": "_none"} if self.search_pipelines else {}
        return Request("POST", index_path(index, "_search"), body, {**own, **(params or {})})

    def open_pit(self, index: str) -> Request:
        """Open a point in time over an index."""
        rest = ("_pit",) if self.is_elasticsearch else ("_search", "point_in_time")
        return Request("POST", index_path(index, *rest), params={"keep_alive": KEEP_ALIVE})

    def close_pit(self, pit: str) -> Request:
        """Close a point in time."""
        if self.is_elasticsearch:
            return Request("DELETE", "/_pit", {"id": pit})
        return Request("DELETE", "/_search/point_in_time", {"pit_id": [pit]})

    def pit_id(self, reply: JsonValue, what: str) -> str:
        """Id in the reply to `open_pit`; `what` names the item in errors.

        Raises
        ------
        ChercheError
            UNAVAILABLE where there is none.
        """
        return str(part(reply, what, "id" if self.is_elasticsearch else "pit_id", of=str))

    def in_pit(self, pit: str) -> dict[str, object]:
        """Part of a search body that searches in a point in time and keeps it alive."""
        return {"pit": {"id": pit, "keep_alive": KEEP_ALIVE}}

    def cut_warnings(self, cut: int, kept: int) -> tuple[str, ...]:
        """What to say of a query that lost its lightest `cut` terms, if any, and keeps so many."""
        if not cut:
            return ()
        reason = "the cluster's indices.query.bool.max_clause_count allows no more"
        if not self.states_max_clauses:
            reason = f"{self.title} {self.version} takes {DEFAULT_MAX_CLAUSES} clauses and does not say how many more"
        return (f"{cut} of {cut + kept} query terms left out, the lightest: {reason}",)


def choose(root: JsonValue) -> Dialect:
    """Dialect of the cluster that answered `root` to ``GET /``.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION for a product or version that this release does not speak to.

    >>> choose({"version": {"distribution": "opensearch", "number": "2.11.1"}}).named_scores
    False
    >>> choose({"version": {"number": "8.15.0", "build_flavor": "default"}}).title
    'Elasticsearch'
    """
    version = _version(root)
    number = str(version.get("number", "unknown"))
    product = _product(root)
    found = tuple(int(part) for part in re.findall(r"\d+", number)[:2])
    if product not in _OLDEST or found < _OLDEST[product] or _is_hidden(product, number):
        raise _unsupported(product, number)
    return _opensearch(number, found) if product == "opensearch" else _elasticsearch(number, found)


def _version(root: JsonValue) -> Json:
    """What an answer says of the version; {} for one that says nothing, as of a server that is no cluster."""
    found = root.get("version") if isinstance(root, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _product(root: JsonValue) -> str:
    """Product by what only it says: OpenSearch its distribution, Elasticsearch its build flavor or tagline."""
    version = _version(root)
    tagline = str(root.get("tagline", "")) if isinstance(root, Mapping) else ""
    if "distribution" in version:
        return str(version["distribution"])
    if "OpenSearch" in tagline:
        return "opensearch"
    return "elasticsearch" if "build_flavor" in version or tagline.startswith("You Know") else "an unknown product"


def _is_hidden(product: str, number: str) -> bool:
    """Whether OpenSearch gives itself out as the last Elasticsearch before the fork."""
    return product == "opensearch" and number == "7.10.2"


def _unsupported(product: str, number: str) -> ChercheError:
    if _is_hidden(product, number):
        return precondition(
            f"OpenSearch calls itself {number}: it hides its version",
            "set compatibility.override_main_response_version to false",
        )
    known = " or ".join(f"{TITLES[name]} {oldest[0]}.{oldest[1]}" for name, oldest in _OLDEST.items())
    said = TITLES.get(product, product)
    return precondition(f"this release does not speak to {said} {number}", f"use {known} or later")


def _opensearch(number: str, found: tuple[int, ...]) -> Dialect:
    return Dialect(
        product="opensearch",
        version=number,
        named_scores=found >= (2, 13),
        recovery_source=found >= (3, 0),
        segment_replication=found >= (2, 7),
        search_pipelines=found >= (2, 9),
        neural_sparse=found >= (3, 3),
        # Under segment replication a replica lags the primary by up to a second (OpenSearch 3.8.0).
        read_preference="_primary",
    )


def _elasticsearch(number: str, found: tuple[int, ...]) -> Dialect:
    return Dialect(
        product="elasticsearch",
        version=number,
        named_scores=found >= (8, 8),
        recovery_source=False,
        segment_replication=False,
        read_preference="",  # copies are refreshed together; _primary went with 7.0
        states_max_clauses=found < (8, 0),
        sparse_vector=found >= (8, 15),
    )
