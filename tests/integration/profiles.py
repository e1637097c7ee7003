"""What a shard ran, as the profile of a search shows it."""

from __future__ import annotations

from typing import Any


def disjunctions(reply: Any) -> list[tuple[str, list[Any]]]:
    """Index and clauses of the query that each shard ran, as its profile shows it after Lucene's rewriting."""
    found = []
    for shard in reply["profile"]["shards"]:
        for search in shard["searches"]:
            [top] = search["query"]
            assert top["type"] == "BooleanQuery", top["description"]
            found.append((shard["id"].split("][")[1], top["children"]))
    return found


def feature_of(clause: Any) -> str:
    """Description of the one feature that a clause of a profile asks for; "" for any other clause."""
    shown = str(clause["description"])
    return shown if clause["type"] in ("BoostQuery", "FeatureQuery") and shown.count("FeatureQuery(") == 1 else ""
