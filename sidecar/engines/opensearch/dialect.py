"""How products and versions differ, chosen once from ``GET /``. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sidecar.engines.opensearch.http import Request, index_path
from sidecar.errors import precondition
from sidecar.types import Json

KEEP_ALIVE = "5m"
_OLDEST = (2, 4)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a cluster understands.

    Attributes
    ----------
    product, version : str
    named_scores : bool
        ``include_named_queries_score`` (OpenSearch PR#11626, 2.13).
    recovery_source : bool
        ``_source.recovery_source_excludes``.
    segment_replication : bool
        ``_cat/segment_replication``, which tells how far replicas are behind.
    read_preference : str
        Which copy answers a read that must see every acknowledged write; empty for any.
    """

    product: str
    version: str
    named_scores: bool
    recovery_source: bool
    segment_replication: bool
    read_preference: str

    def open_pit(self, index: str) -> Request:
        """Open a point in time over an index."""
        path = index_path(index, "_search", "point_in_time")
        return Request("POST", path, params={"keep_alive": KEEP_ALIVE})

    def close_pit(self, pit: str) -> Request:
        """Close a point in time."""
        return Request("DELETE", "/_search/point_in_time", {"pit_id": [pit]})

    def pit_id(self, reply: Json) -> str:
        """Id in the reply to `open_pit`."""
        return str(reply["pit_id"])

    def in_pit(self, pit: str) -> dict[str, object]:
        """Part of a search body that searches in a point in time and keeps it alive."""
        return {"pit": {"id": pit, "keep_alive": KEEP_ALIVE}}


def choose(root: Json) -> Dialect:
    """Dialect of the cluster that answered `root` to ``GET /``.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION for a product or version that this release does not speak to.

    >>> choose({"version": {"distribution": "opensearch", "number": "2.11.1"}}).named_scores
    False
    """
    version = root.get("version", {})
    number = str(version.get("number", "unknown"))
    product = str(version.get("distribution", "elasticsearch"))
    found = tuple(int(part) for part in re.findall(r"\d+", number)[:2])
    if product != "opensearch" or found < _OLDEST:
        raise precondition(
            f"this release does not speak to {product} {number}",
            f"use OpenSearch {_OLDEST[0]}.{_OLDEST[1]} or later",
        )
    return Dialect(
        product=product,
        version=number,
        named_scores=found >= (2, 13),
        recovery_source=found >= (3, 0),
        segment_replication=found >= (2, 7),
        read_preference="_primary",
    )
