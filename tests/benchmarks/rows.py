"""The seven rows of neural-cherche's table, ours beside them: ``python -m tests.benchmarks.rows DATA --colbert DIR``.

SciFact's test split (a BEIR folder in DATA), title and text of a document joined, by the library's own retrievers
and rankers. Measures are those of that table: hits@K counts the relevant documents among the first K (ranx), so that
it is K times precision@K. DIR is what `cherche_models.train.recipes.small` makes. Below the rows, the flow that users
run: the first stage and MaxSim fused by `fuse.convex` instead of MaxSim alone, and Cranfield beside SciFact. Nothing is
tuned here.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cherche_models import hub, rank, retrieve
from cherche_models.evaluate import Collection, compare, evaluate, per_query, read
from cherche_models.evaluate.stages import Stages
from cherche_models.models.base import Model
from cherche_models.train.bm25 import BM25
from cherche_models.train.teacher import Teacher
from cherche_models.train.tune import stages
from tests.benchmarks.machine import machine

RESULTS = Path(__file__).parent / "results" / "rows.json"
MEASURES = ("ndcg@10", "precision@10", "precision@1")
THEIRS = {
    "TfIdf": (0.62, 0.86, 0.50),
    "BM25": (0.69, 0.92, 0.56),
    "sparse": (0.62, 0.87, 0.48),
    "dense": (0.66, 0.89, 0.53),
    "ColBERT": (0.70, 0.92, 0.58),
    "TfIdf → ColBERT": (0.71, 0.94, 0.59),
    "BM25 → ColBERT": (0.72, 0.95, 0.59),
}
"""nDCG@10, hits@10, hits@1 of neural-cherche's README: SparseEmbed, all-mpnet-base-v2 and its own ColBERT."""
Rankings = Mapping[str, list[str]]


def rankings(collection: Collection, colbert: Model, tiny: Model, encoder: Path | None) -> dict[str, Rankings]:
    """A hundred documents of each row for each judged query."""
    documents = [
        {"id": key, "title": str(d.get("title") or ""), "text": str(d.get("text") or "")}
        for key, d in collection.documents.items()
    ]
    ids = list(collection.qrels)
    asked = [collection.queries[query] for query in ids]
    where = {"key": "id", "on": ["title", "text"]}
    late, again = retrieve.ColBERT(**where, model=colbert), rank.ColBERT(**where, model=colbert)
    embeddings = late.encode_documents(documents)
    late.add(embeddings), again.add(embeddings)
    lexical = {"TfIdf": retrieve.TfIdf(**where), "BM25": retrieve.BM25(**where)}
    rows = {
        **{name: one.add_documents(documents) for name, one in lexical.items()},
        "sparse": retrieve.Splade(**where, model=tiny).add_documents(documents),
        "ColBERT": late,
        **{f"{name} → ColBERT": one + again for name, one in lexical.items()},
    }
    found = {
        name: dict(zip(ids, ([str(r["id"]) for r in list_] for list_ in row.search(asked, k=100)), strict=True))
        for name, row in rows.items()
    }
    if encoder is not None:
        found["dense"] = dense(collection, ids, Teacher(encoder, max_length=256))
    return found


def dense(collection: Collection, ids: list[str], encoder: Teacher) -> Rankings:
    """Cosines of a sentence encoder."""
    keys = list(collection.documents)
    cosines = encoder.scores([collection.queries[i] for i in ids], list(collection.texts().values())).numpy()
    return {query: [keys[i] for i in np.argsort(-row)[:100]] for query, row in zip(ids, cosines, strict=True)}


def flow(collection: Collection, colbert: Model, tiny: Model, weight: float, window: int) -> dict[str, Any]:
    """BM25 and hybrid first stages, each reranked by the model and by its mix with the first stage's scores."""
    index = BM25({k: (str(d.get("title") or ""), str(d.get("text") or "")) for k, d in collection.documents.items()})
    first = stages(tiny, collection, list(collection.qrels), index)
    scored = replace(first, **_late(first, collection, colbert))
    firsts = {"BM25": first.bm25, "BM25 + SPLADE": first.hybrid(tiny.sparse_boost)}
    ranked: dict[str, Rankings] = {}
    for name, scores in firsts.items():
        mixed = scored.rerank(scores, [weight, 1.0], window)
        ranked |= {name: first.rank(scores), f"{name} → ColBERT": mixed[weight], f"{name} → MaxSim alone": mixed[1.0]}
    values = {name: per_query(ranking, collection.qrels)["ndcg@10"] for name, ranking in ranked.items()}
    pairs = (("BM25", "BM25 → ColBERT"), ("BM25 + SPLADE", "BM25 + SPLADE → ColBERT"))
    tested = {f"{b} over {a}": compare(values[a], values[b]) for a, b in pairs}
    return {
        "ndcg@10": {name: round(float(np.mean(list(column.values()))), 4) for name, column in values.items()},
        "paired randomisation test": {
            name: {"difference": round(one.difference, 4), "p": round(one.p_value, 5)} for name, one in tested.items()
        },
    }


def _late(first: Stages, collection: Collection, colbert: Model) -> dict[str, Any]:
    documents = colbert.encode(list(collection.texts().values()), "document")
    queries = colbert.encode([collection.queries[query] for query in first.queries], "query")
    return {
        "embeddings": [encoding.embeddings for encoding in documents],
        "query_embeddings": [encoding.embeddings for encoding in queries],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder of BEIR folders")
    parser.add_argument("--colbert", type=Path, required=True, help="model of cherche_models.train.recipes.small")
    parser.add_argument("--encoder", type=Path, help="Sentence Transformers folder for the row of cosines")
    parser.add_argument("--window", type=int, default=200)
    asked = parser.parse_args()
    colbert, tiny = hub.load(asked.colbert, dtype="bf16"), hub.load(hub.PRETRAINED / "cherche-tiny", dtype="bf16")
    scifact = read(asked.data / "scifact")
    found = rankings(scifact, colbert, tiny, asked.encoder)
    rows = {}
    for name, theirs in THEIRS.items():
        ours = evaluate(found[name], scifact.qrels, MEASURES) if name in found else None
        rows[name] = {
            "neural-cherche": theirs,
            "ours": ours and [round(v, 4) for v in (ours["ndcg@10"], 10 * ours["precision@10"], ours["precision@1"])],
        }
    weight = colbert.rerank_weight
    flows = {
        name: flow(read(asked.data / name), colbert, tiny, weight, asked.window) for name in ("scifact", "cranfield")
    }
    lengths = {kind: style.max_length for kind, style in colbert.formats.items()}
    record = {
        "machine": machine(),
        "colbert": {"digest": colbert.digest, "dim": colbert.dim, "max_length": lengths, "rerank_weight": weight},
        "tiny": {"digest": tiny.digest, "sparse_boost": tiny.sparse_boost},
        "window": asked.window,
        "rows": rows,
        "flow": flows,
    }
    RESULTS.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps({"rows": rows, "flow": flows}, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
