"""What codes cost: nDCG@10 against bytes per document, and how fast they are read.

SciFact (test) and Cranfield are ranked in memory with the same sums as an engine, once for each
codec. `prove codes` does that with `cherche-tiny`, draws ``results/codes.svg`` and writes the
figures beside it; ``python -m tests.benchmarks.codes DATA --model MODEL`` with another model, into
``results/codes-MODEL.json``. The codebook is trained on SciFact's documents, so Cranfield shows
what it is worth elsewhere.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cherche_models import codec, hub, scores
from cherche_models.codes import codebook
from cherche_models.codes.codebook import Codebook
from cherche_models.evaluate import Collection, compare, per_query, read
from cherche_models.evaluate.stages import Stages
from cherche_models.models import Model
from cherche_models.train.bm25 import BM25
from cherche_models.train.tune import stages
from cherche_models.types import TokenEmbeddings
from tests.benchmarks.machine import machine

RESULTS = Path(__file__).parent / "results"
FORMS = (
    *("int8", "residual4", "residual2", "residual1", "pool2+int8", "pool2+residual4", "pool2+residual2"),
    *("pool2+residual1", "pool3+residual4", "pool3+residual2", "pool4+residual2"),
)
WINDOW = 100
LENGTH = 180
_MEASURE = "ndcg@10"


def report(data: Path, model: Model) -> dict[str, Any]:
    """Figures of both collections."""
    found: dict[str, Any] = {"model": model.digest, "rerank_weight": model.rerank_weight, "window": WINDOW}
    scored: dict[str, tuple[Stages, Collection]] = {}
    for name in ("scifact", "cranfield"):
        collection = read(data / name)
        texts = {key: (str(d.get("title") or ""), str(d.get("text") or "")) for key, d in collection.documents.items()}
        scored[name] = stages(model, collection, list(collection.qrels), BM25(texts)), collection
    book = trained(scored["scifact"][0])
    found["codebook"] = {"centroids": len(book.centroids), "bytes": book.centroids.size * 2, "trained on": "scifact"}
    return found | {name: measured(*both, model, book) for name, both in scored.items()}


def trained(scored: Stages) -> Codebook:
    """A codebook of the first documents, as `cherche codebook` makes it."""
    wanted = 256 * codebook.CENTROIDS
    vectors = np.concatenate([document.vectors for document in scored.embeddings])[:wanted]
    return codebook.register(codebook.train(vectors))


def measured(scored: Stages, collection: Collection, model: Model, book: Codebook) -> dict[str, Any]:
    """Each codec: size, measures of the full flow and of MaxSim alone, seconds to write and to read."""
    hybrid = scored.hybrid(model.sparse_boost)
    window = {i for row in hybrid for i in np.argsort(-row, kind="stable")[: WINDOW + 20]}
    tokens = float(np.mean([len(scored.embeddings[i]) for i in window]))
    rows: dict[str, Any] = {}
    exact = _values(scored, collection, hybrid, model.rerank_weight)
    for form in FORMS:
        kept, row = _coded(scored.embeddings, sorted(window), form, book)
        values = _values(replace(scored, embeddings=kept), collection, hybrid, model.rerank_weight)
        row["bytes at 180 tokens"] = round(row["bytes per document"] * LENGTH / tokens)
        rows[form] = row | {name: _against(exact[name], values[name]) for name in values}
    means = {name: round(float(np.mean(list(column.values()))), 4) for name, column in exact.items()}
    return {"documents coded": len(window), "tokens per document": round(tokens, 1), "float32": means, "codecs": rows}


def _coded(
    embeddings: Sequence[TokenEmbeddings], wanted: Sequence[int], form: str, book: Codebook
) -> tuple[list[TokenEmbeddings], dict[str, Any]]:
    kept = list(embeddings)
    started = time.perf_counter()
    codes = [codec.pack_codes(embeddings[i], form, book=book) for i in wanted]
    packed_in = time.perf_counter() - started
    for start in range(0, len(wanted), WINDOW):
        part = wanted[start : start + WINDOW]
        packed, _ = codec.unpack_many(codes[start : start + WINDOW])
        for i, (first, last) in zip(part, zip(packed.offsets, packed.offsets[1:], strict=False), strict=True):
            kept[i] = TokenEmbeddings(packed.vectors[first:last])
    query = TokenEmbeddings(embeddings[wanted[0]].vectors[:16])
    row = {
        "bytes per document": round(float(np.mean([len(code) for code in codes]))),
        "ms to write a document": round(1000 * packed_in / len(wanted), 3),
        f"ms to read {WINDOW} documents": _fastest(lambda: codec.unpack_many(codes[:WINDOW])),
        f"ms to read and score {WINDOW} documents": _fastest(
            lambda: scores.maxsim(query, codec.unpack_many(codes[:WINDOW])[0])
        ),
    }
    return kept, row


def _fastest(work: Any, rounds: int = 9) -> float:
    """Milliseconds of the fastest round: what the machine can do when nobody else wants it."""
    best = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return round(1000 * best, 2)


def _values(
    scored: Stages, collection: Collection, hybrid: np.ndarray[Any, np.dtype[np.float64]], weight: float
) -> dict[str, Mapping[str, float]]:
    ranked = scored.rerank(hybrid, [weight, 1.0], WINDOW)
    names = {"full flow": weight, "MaxSim alone": 1.0}
    qrels = {query: collection.qrels[query] for query in scored.queries}
    return {name: per_query(ranked[value], qrels, [_MEASURE])[_MEASURE] for name, value in names.items()}


def _against(exact: Mapping[str, float], coded: Mapping[str, float]) -> dict[str, float]:
    result = compare(exact, coded, rounds=20_000)
    return {
        _MEASURE: round(result.b, 4),
        "relative to float32": round(result.difference / result.a, 4),
        "p": round(result.p_value, 4),
    }


def draw(figures: Mapping[str, Any], path: Path) -> None:
    """nDCG@10 of the full flow against bytes of a document of 180 tokens."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    with mpl.rc_context({"svg.hashsalt": "codes"}):
        shown, axes = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
        for axis, name in zip(axes, ("scifact", "cranfield"), strict=True):
            exact = figures[name]["float32"]["full flow"]
            for pool, colour in (("", "C0"), ("pool2", "C1"), ("pool3", "C2"), ("pool4", "C3")):
                rows = {form: row for form, row in figures[name]["codecs"].items() if _pool(form) == pool}
                points = [(row["bytes at 180 tokens"], row["full flow"][_MEASURE]) for row in rows.values()]
                axis.plot(*zip(*points, strict=True), "o-", color=colour, label=pool or "every token")
                for form, point in zip(rows, points, strict=True):
                    axis.annotate(form.rpartition("+")[2], point, fontsize=7, xytext=(3, 4), textcoords="offset points")
            axis.axhline(exact, color="grey", linewidth=0.8, label="float32")
            axis.axhline(0.99 * exact, color="grey", linewidth=0.8, linestyle=":", label="1 % below")
            axis.axvline(1500, color="grey", linewidth=0.8, linestyle="--", label="1.5 kB")
            axis.set(xscale="log", title=name, xlabel="bytes of a document of 180 tokens", ylabel=_MEASURE)
        axes[0].legend(fontsize=7)
        shown.savefig(path, metadata={"Date": None})
        pyplot.close(shown)


def _pool(form: str) -> str:
    return form.rpartition("+")[0]


def prove(data: Path) -> dict[str, Any]:
    """The section of `prove`: figures, and the picture beside them."""
    figures = report(data, hub.load("cherche-tiny", device="cpu"))
    draw(figures, RESULTS / "codes.svg")
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder of BEIR folders")
    parser.add_argument("--model", default="cherche-small", help="one that ships")
    asked = parser.parse_args()
    record = {"machine": machine(), "figures": report(asked.data, hub.load(asked.model, device="cpu"))}
    text = json.dumps(record, indent=1)
    (RESULTS / f"codes-{asked.model}.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
