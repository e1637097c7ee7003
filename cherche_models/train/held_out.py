"""Held-out training queries, so that hyperparameters are not chosen on the test set."""

from __future__ import annotations

import random

from cherche_models.evaluate.beir import Qrels


def held_out(qrels: Qrels, count: int, seed: int) -> list[str]:
    """About `count` queries to hold out, which share no judged document with the others.

    Parameters
    ----------
    qrels : dict of query → {document → relevance}
        Of the training split.
    count : int
        Whole groups are taken until there are `count` queries; groups of more than a fifth of all queries are
        kept for training if there are at least five groups.
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
    """Connected components of queries that share judged documents (union-find), in the order of their first query."""
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
