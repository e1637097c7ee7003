"""Measures of ranked lists, computed by ir-measures (trec_eval underneath).

A ranking is a list of document ids, best first. The measures use its order, not
scores, so ties are already broken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Rankings = Mapping[str, Sequence[str]]
Judgements = Mapping[str, Mapping[str, int]]

MEASURES = ("ndcg@10", "recall@100", "hits@1", "hits@10", "map", "mrr")
_FAMILIES = {
    "ndcg": "nDCG",
    "recall": "R",
    "hits": "Success",
    "precision": "P",
    "map": "AP",
    "mrr": "RR",
}
_NEEDS_CUTOFF = frozenset({"recall", "hits", "precision"})
_FORM = re.compile(r"([a-z]+)(?:@([1-9][0-9]*))?")


def evaluate(rankings: Rankings, qrels: Judgements, measures: Sequence[str] = MEASURES) -> dict[str, float]:
    """Mean of each measure over the queries that have a relevant document.

    A judged query without a ranking counts 0; a ranking of an unjudged query is ignored.

    Raises
    ------
    ValueError
        If a measure is unknown, or no query has a relevant document.

    >>> evaluate({"q": ["wrong", "right"]}, {"q": {"right": 1}}, ["mrr", "hits@1"])
    {'mrr': 0.5, 'hits@1': 0.0}
    """
    values = per_query(rankings, qrels, measures)
    return {name: sum(column.values()) / len(column) for name, column in values.items()}


def per_query(rankings: Rankings, qrels: Judgements, measures: Sequence[str] = MEASURES) -> dict[str, dict[str, float]]:
    """Each measure's value for each query: measure → query id → value in [0, 1].

    Queries are in the order of the qrels, so the values of two systems are paired.
    Raises as `evaluate` does.

    >>> per_query({"q": ["a", "b", "c"]}, {"q": {"b": 1}}, ["ndcg@10"])["ndcg@10"]["q"]
    0.6309297535714575
    """
    import ir_measures  # slow to import

    parsed = {name: ir_measures.parse_measure(_ir_measures_name(name)) for name in measures}
    queries = judged(qrels)
    values: dict[str, dict[str, float]] = {name: dict.fromkeys(queries, 0.0) for name in measures}
    names = {str(measure): name for name, measure in parsed.items()}
    judgements = [ir_measures.Qrel(q, d, r) for q in queries for d, r in qrels[q].items()]
    for result in ir_measures.iter_calc(list(parsed.values()), judgements, _run(rankings, queries)):
        values[names[str(result.measure)]][result.query_id] = float(result.value)
    return values


def judged(qrels: Judgements) -> list[str]:
    """Queries with a relevant document, in the order of the qrels.

    Raises
    ------
    ValueError
        If there are none.

    >>> judged({"1": {"a": 0}, "2": {"a": 0, "b": 2}})
    ['2']
    """
    queries = [query for query, row in qrels.items() if any(relevance > 0 for relevance in row.values())]
    if not queries:
        raise ValueError("no query has a relevant document: nothing can be measured")
    return queries


def _run(rankings: Rankings, queries: Sequence[str]) -> list[Any]:
    """Hits with the negative rank as score, so that trec_eval keeps the order."""
    import ir_measures

    run = []
    for query in queries:
        ranking = rankings.get(query, ())
        if len(set(ranking)) != len(ranking):
            raise ValueError(f"the ranking of query {query!r} contains a document twice")
        run += [ir_measures.ScoredDoc(query, document, -float(rank)) for rank, document in enumerate(ranking)]
    return run


def _ir_measures_name(name: str) -> str:
    form = _FORM.fullmatch(name)
    family = form and _FAMILIES.get(form[1])
    if not form or not family or (form[1] in _NEEDS_CUTOFF and not form[2]):
        raise ValueError(f"unknown measure {name!r}: use ndcg, map, mrr, ndcg@K, recall@K, hits@K, precision@K, …")
    return family if form[2] is None else f"{family}@{form[2]}"
