"""What a model finds, without an engine: ``python -m tests.benchmarks.quality DATA [--model PATH] [--save]``.

Ranks whole collections in memory with the same sums as an engine (BM25 over title and text,
`sparse_boost` and `rerank_weight` of the model), by reciprocal ranks instead of the sum, and with queries that the
model's table of idf weighs without a forward pass, if it has one.
Prints one JSON object, which `--save` writes into the results as well, those of
bfloat16 by that name. Nothing is tuned here.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from cherche_models import hub
from cherche_models.evaluate import Collection, compare, per_query, read
from cherche_models.evaluate.stages import Stages
from cherche_models.models.base import Model
from cherche_models.train.bm25 import BM25
from cherche_models.train.tune import stages
from tests.benchmarks.machine import machine

RESULTS = Path(__file__).parent / "results"
COLLECTIONS = ("scifact", "cranfield")


def report(model: Model, collection: Collection) -> dict[str, object]:
    """Measures of each mode, and whether each beats the one before it."""
    index = BM25(
        {key: (str(d.get("title") or ""), str(d.get("text") or "")) for key, d in collection.documents.items()}
    )
    scored = stages(model, collection, list(collection.qrels), index)
    rankings = modes(scored, model.sparse_boost, model.rerank_weight)
    values = {mode: per_query(ranking, collection.qrels) for mode, ranking in rankings.items()}
    means = {
        mode: {name: round(float(np.mean(list(v.values()))), 4) for name, v in columns.items()}
        for mode, columns in values.items()
    }
    pairs = (
        *(("bm25", "hybrid"), ("sparse", "hybrid"), ("hybrid", "hybrid+rerank"), ("bm25", "hybrid+rerank")),
        *(("hybrid", "rrf"), ("hybrid+rerank", "rrf+rerank"), ("bm25", "rrf"), ("sparse", "rrf")),
        *(("sparse", "sparse, doc only"), ("hybrid", "hybrid, doc only"), ("bm25", "hybrid, doc only")),
    )
    return {
        "documents": len(collection.documents),
        "queries": len(scored.queries),
        "modes": means,
        "paired randomisation test, nDCG@10": {
            f"{b} over {a}": _compared(values[a]["ndcg@10"], values[b]["ndcg@10"]) for a, b in pairs if b in values
        },
        "tokens per document": round(float(np.mean([len(e) for e in scored.embeddings])), 1),
    }


def modes(scored: Stages, boost: float, weight: float) -> dict[str, dict[str, list[str]]]:
    """Rankings of every search mode; those of `doc_only` if the model has a table."""
    hybrid, by_ranks = scored.hybrid(boost), scored.by_ranks()
    rankings = {
        "bm25": scored.rank(scored.bm25),
        "sparse": scored.rank(scored.sparse),
        "hybrid": scored.rank(hybrid),
        "hybrid+rerank": scored.rerank(hybrid, [weight])[weight],
        "rrf": scored.rank(by_ranks),
        "rrf+rerank": scored.rerank(by_ranks, [weight])[weight],
    }
    if scored.by_table is not None:
        rankings["sparse, doc only"] = scored.rank(scored.by_table)
        rankings["hybrid, doc only"] = scored.rank(scored.bm25 + boost * scored.by_table)
    return rankings


def _compared(a: dict[str, float], b: dict[str, float]) -> dict[str, float]:
    result = compare(a, b)
    return {
        "difference": round(result.difference, 4),
        "p": round(result.p_value, 5),
        "wins": result.wins,
        "losses": result.losses,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder of BEIR folders")
    parser.add_argument("--model", default="cherche-small")
    parser.add_argument("--collections", nargs="+", default=COLLECTIONS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default=None)
    parser.add_argument("--save", action="store_true", help="write results/quality-MODEL[-bf16].json")
    asked = parser.parse_args()
    model = hub.load(asked.model, device=asked.device, dtype=asked.dtype)
    found: dict[str, object] = {
        "digest": model.digest,
        "dtype": str(model.dtype),
        "max_length": {kind: style.max_length for kind, style in model.formats.items()},
        "sparse_boost": model.sparse_boost,
        "rerank_weight": model.rerank_weight,
    }
    found |= {name: report(model, read(asked.data / name)) for name in asked.collections}
    print(json.dumps(found, indent=2))
    if asked.save:
        record = {"section": "quality", "machine": machine(), "figures": found}
        path = RESULTS / f"quality-{Path(asked.model).name}{'-bf16' if found['dtype'] == 'torch.bfloat16' else ''}.json"
        path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
