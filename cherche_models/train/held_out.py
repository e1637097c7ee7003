"""Training queries set aside: nothing is chosen on what a report shows."""

from __future__ import annotations

import random

from cherche_models.evaluate.beir import Qrels


def held_out(qrels: Qrels, count: int, seed: int) -> list[str]:
    """Queries to set aside, about `count`, that share no relevant document with the rest.

    Parameters
    ----------
    qrels : dict of query → {document → relevance}
        Of the training split.
    count : int
        Whole groups are taken until there are so many; groups of a fifth of all queries or more stay.
    seed : int

    Returns
    -------
    list of str
        In the order of the qrels.

    >>> held_out({"1": {"a": 1}, "2": {"a": 1, "b": 1}, "3": {"c": 1}}, 2, seed=1) in (["1", "2"], ["1", "2", "3"])
    True
    """
    groups = _groups(qrels)
    random.Random(seed).shuffle(groups)
    taken: set[str] = set()
    for group in groups:
        if len(taken) >= count:
            break
        if len(group) * 5 <= len(qrels) or len(groups) < 5:
            taken.update(group)
    return [query for query in qrels if query in taken]


def _groups(qrels: Qrels) -> list[list[str]]:
    """Queries linked by shared relevant documents, in the order of their first query."""
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        while parent.setdefault(node, node) != node:
            node = parent[node]
        return node

    for query, row in qrels.items():
        for document in row:
            parent[root(f"query {query}")] = root(f"document {document}")
    groups: dict[str, list[str]] = {}
    for query in qrels:
        groups.setdefault(root(f"query {query}"), []).append(query)
    return list(groups.values())
