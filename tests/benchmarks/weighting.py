"""Whether each query should have a rerank weight of its own: ``python -m tests.benchmarks.prove weighting``.

The flow is BM25, then cherche-tiny's MaxSim over the hundred best, blended as in a search. A weight that
rises or falls with a signal of the query, ``w = clip(w0 + slope * z, 0, 1)`` with the
signal's rank `z` in [-1, 1], against one weight for all. Both are chosen on training folds of SciFact's
training queries that cherche-tiny was not trained on, and measured on the fold left out; then both are
chosen on all of them and measured on the test queries of SciFact and Cranfield, which chose nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cherche_models import hub, scores
from cherche_models.evaluate import Collection, compare, read
from cherche_models.evaluate.tuning import Judged, Setting, ideal_dcg, ndcg
from cherche_models.models import Model
from cherche_models.tokenizer import Kind
from cherche_models.train.bm25 import BM25
from cherche_models.train.held_out import held_out
from cherche_models.types import TokenEmbeddings

Values = NDArray[np.float64]
WINDOW, DEPTH, FOLDS, SEEDS = 100, 10, 5, 10
GRID = np.linspace(0.0, 1.0, 41)
STARTS, SLOPES = GRID[4:37:2], (-0.4, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.4)


def _gap(values: Values) -> float:
    """How far the best score is above the tenth, as a share of the range."""
    found = np.sort(values[np.isfinite(values)])[::-1]
    return float((found[0] - found[min(DEPTH, len(found)) - 1]) / (found[0] - found[-1] or 1.0)) if len(found) else 0.0


def _agreement(first: Values, late: Values) -> float:
    """Share of the ten best of the first stage that are MaxSim's too."""
    return len({*np.argsort(-first)[:DEPTH]} & {*np.argsort(-late)[:DEPTH]}) / DEPTH


SIGNALS: dict[str, Callable[[str, Values, Values], float]] = {
    "words of the query": lambda text, first, late: float(len(text.split())),
    "gap of the first stage": lambda text, first, late: _gap(first),
    "gap of MaxSim": lambda text, first, late: _gap(late),
    "agreement of both": lambda text, first, late: _agreement(first, late),
}


class Queries:
    """What is known of some queries: signals, and nDCG@10 under each weight of the grid, shape (queries, weights)."""

    def __init__(self, model: Model, collection: Collection, wanted: Sequence[str]) -> None:
        texts = {key: (str(d.get("title") or ""), str(d.get("text") or "")) for key, d in collection.documents.items()}
        index, whole = BM25(texts), collection.texts()
        embeddings = dict(zip(whole, (_rows(model, list(whole.values()), "document")), strict=True))
        asked = [collection.queries[query] for query in wanted]
        self.names = list(wanted)
        self.values = np.empty((len(wanted), len(GRID)))
        self.signals: dict[str, Values] = {name: np.empty(len(wanted)) for name in SIGNALS}
        for i, (query, text, rows) in enumerate(zip(wanted, asked, _rows(model, asked, "query"), strict=True)):
            found = dict(index.search(text, WINDOW))
            ids, first = list(found), np.array(list(found.values()), np.float64)
            exact = scores.maxsim(rows, scores.pack([embeddings[key] for key in ids]))
            late: Values = exact.astype(np.float64)
            qrels = collection.qrels[query]
            relevance = np.array([max(0, qrels.get(key, 0)) for key in ids], np.float64)
            judged = Judged(ids, first, np.zeros(len(ids)), late, relevance, ideal_dcg(qrels))
            self.values[i] = [ndcg(judged, Setting(1.0, float(weight), WINDOW)) for weight in GRID]
            for name, signal in SIGNALS.items():
                self.signals[name][i] = signal(text, first, late)

    def of(self, wanted: Sequence[str]) -> Queries:
        """Some of them."""
        part, rows = copy(self), [self.names.index(query) for query in wanted]
        part.names, part.values = list(wanted), self.values[rows]
        part.signals = {name: signal[rows] for name, signal in self.signals.items()}
        return part


def _rows(model: Model, texts: Sequence[str], kind: Kind) -> list[TokenEmbeddings]:
    return [one.embeddings for one in model.encode(texts, kind) if one.embeddings is not None]


def _ranks(known: Values, asked: Values) -> Values:
    """Where values stand among known ones, in [-1, 1]."""
    low, high = (np.searchsorted(np.sort(known), asked, side) for side in ("left", "right"))
    ranks: Values = (low + high) / len(known) - 1.0
    return ranks


def _of(values: Values, z: Values, start: float, slope: float) -> Values:
    """nDCG@10 of each query under its own weight."""
    weights = np.clip(start + slope * z, 0.0, 1.0)
    picked: Values = values[np.arange(len(values)), np.rint(weights * (len(GRID) - 1)).astype(int)]
    return picked


def _chosen(values: Values, z: Values, slopes: Sequence[float]) -> tuple[float, float]:
    """The start and slope with the best mean; of equal ones the flattest."""
    tried = [(float(start), slope) for slope in sorted(slopes, key=abs) for start in STARTS]
    return max(tried, key=lambda one: float(_of(values, z, *one).mean()))


def _cross_validated(found: Queries, name: str, slopes: Sequence[float]) -> Values:
    """nDCG@10 of each query with what other folds chose, mean over several ways to fold."""
    signal, total = found.signals[name], np.zeros(len(found.values))
    for seed in range(SEEDS):
        fold = np.random.default_rng(seed).permutation(len(signal)) % FOLDS
        for one in range(FOLDS):
            inside, outside = fold != one, fold == one
            choice = _chosen(found.values[inside], _ranks(signal[inside], signal[inside]), slopes)
            total[outside] += _of(found.values[outside], _ranks(signal[inside], signal[outside]), *choice)
    return total / SEEDS


def _compared(names: Sequence[str], plain: Values, own: Values) -> dict[str, Any]:
    result = compare(dict(zip(names, plain.tolist(), strict=True)), dict(zip(names, own.tolist(), strict=True)))
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(result).items()}


def measure(data: Path) -> dict[str, Any]:
    """Each signal against one weight for all: cross-validated, and carried over to test queries."""
    model = hub.load(hub.PRETRAINED / "cherche-tiny", device="cpu", architecture="colbert")
    train, test, cranfield = read(data / "scifact", "train"), read(data / "scifact"), read(data / "cranfield")
    aside = held_out(train.qrels, 250, 0)
    both = replace(test, queries=train.queries | test.queries, qrels=train.qrels | test.qrels)
    scifact = Queries(model, both, [*aside, *test.qrels])
    fitted = scifact.of(aside)
    asked = {
        "scifact": scifact.of(list(test.qrels)),
        "cranfield": Queries(model, cranfield, list(cranfield.qrels)),
    }
    rows: dict[str, Any] = {}
    for name in SIGNALS:
        known = fitted.signals[name]
        z = _ranks(known, known)
        one, own = _chosen(fitted.values, z, (0.0,)), _chosen(fitted.values, z, SLOPES)
        plain, varied = (_cross_validated(fitted, name, slopes) for slopes in ((0.0,), SLOPES))
        rows[name] = {
            "chosen": {"weight": round(own[0], 3), "slope": own[1]},
            "scifact train, cross-validated": _compared(fitted.names, plain, varied),
        }
        for other, queries in asked.items():
            ranks = _ranks(known, queries.signals[name])
            pair = (_of(queries.values, ranks, *choice) for choice in (one, own))
            rows[name][f"{other} test"] = _compared(queries.names, *pair)
    oracle = {name: round(float(found.values.max(axis=1).mean()), 4) for name, found in asked.items()}
    return {
        "model": model.digest,
        "one weight": round(float(one[0]), 3),
        "best weight of each query, if one knew it": oracle,
        "signals": rows,
    }
