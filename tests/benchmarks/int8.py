"""What int8 weights cost: ``python -m tests.benchmarks.int8 DATA [--encoder PATH]``.

SciFact's test queries by the shipped model as it is and as int8, in each search mode (`tests.benchmarks.quality`).
With a Sentence Transformers encoder such as all-MiniLM-L6-v2 also its first hundred queries: BM25's best documents
reranked by MaxSim alone over the encoder's own hidden states, with its weights as they are and as int8.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cherche_models import hub, scores
from cherche_models.evaluate import Collection, compare, per_query, read
from cherche_models.models import ColBERT
from cherche_models.models.base import Model
from cherche_models.train.bm25 import BM25
from cherche_models.train.tune import stages
from tests.benchmarks.machine import machine
from tests.benchmarks.quality import modes

RESULTS = Path(__file__).parent / "results" / "int8.json"
QUERIES = 100
Rankings = Mapping[str, Mapping[str, list[str]]]


def searched(model: Model, collection: Collection, index: BM25) -> Rankings:
    """Every search mode of a joint model."""
    scored = stages(model, collection, list(collection.qrels), index)
    found: Rankings = modes(scored, model.sparse_boost, model.rerank_weight)
    return found


def reranked(model: Model, collection: Collection, index: BM25, window: int) -> Rankings:
    """BM25's window in the order of MaxSim alone."""
    queries = list(collection.qrels)[:QUERIES]
    windows = {q: [key for key, _ in index.search(collection.queries[q], window)] for q in queries}
    needed, texts = sorted({key for keys in windows.values() for key in keys}), collection.texts()
    documents = dict(zip(needed, model.encode([texts[key] for key in needed], "document"), strict=True))
    asked = model.encode([collection.queries[q] for q in queries], "query")
    ranking = {}
    for query, encoding in zip(queries, asked, strict=True):
        ids = windows[query]
        late = scores.maxsim(encoding.embeddings, scores.pack([documents[key].embeddings for key in ids]))
        ranking[query] = [ids[i] for i in np.argsort(-late, kind="stable")]
    return {"maxsim": ranking}


def compared(a: Rankings, b: Rankings, collection: Collection) -> dict[str, dict[str, float]]:
    """nDCG@10 of the same modes with two sets of weights."""
    found = {}
    for mode in a:
        qrels = {query: collection.qrels[query] for query in a[mode]}
        own, int8 = (per_query(rankings[mode], qrels)["ndcg@10"] for rankings in (a, b))
        result = compare(own, int8)
        means = (float(np.mean(list(values.values()))) for values in (own, int8))
        found[mode] = {
            **{name: round(mean, 4) for name, mean in zip(("own", "int8"), means, strict=True)},
            "difference": round(result.difference, 4),
            "p": round(result.p_value, 4),
            "queries that differ": result.wins + result.losses,
        }
    return found


def untrained_colbert(folder: Path, length: int) -> Model:
    """A ColBERT over an encoder's own hidden states."""
    model = hub.load(folder, device="cpu", dtype="fp32", architecture="colbert", new_head=True)
    width = model.backbone.hidden_size
    document = replace(model.formats["document"], max_length=length)
    return ColBERT(model.backbone, model.tokenizer, document, model.formats["query"], dim=width).eval()


def saved(model: Model, folder: Path, dtype: str, run: str) -> tuple[Model, dict[str, float]]:
    """A model as it comes back from disk, its bytes there and the seconds that loading it takes."""
    hub.save(model, folder, dtype=dtype)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        found = hub.load(folder, device="cpu", dtype=run)
        times.append(time.perf_counter() - start)
    size = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    return found, {"megabytes": round(size / 1e6, 2), "seconds to load": round(float(np.median(times)), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder of BEIR folders")
    parser.add_argument("--encoder", type=Path, help="Sentence Transformers folder")
    parser.add_argument("--window", type=int, default=100, help="documents of a query that the encoder reranks")
    parser.add_argument("--length", type=int, default=256, help="tokens that the encoder reads of a document")
    parser.add_argument("--dtype", default="fp32", choices=["fp32", "bf16"], help="that models run in")
    asked = parser.parse_args()
    collection = read(asked.data / "scifact")
    index = BM25(
        {key: (str(d.get("title") or ""), str(d.get("text") or "")) for key, d in collection.documents.items()}
    )
    record: dict[str, Any] = {"machine": machine()}
    subjects: dict[str, tuple[Model, Callable[[Model, Collection, BM25], Rankings]]] = {
        "cherche-tiny": (hub.load(hub.PRETRAINED / "cherche-tiny", device="cpu", dtype="fp32"), searched)
    }
    if asked.encoder:
        model = untrained_colbert(asked.encoder, asked.length)
        with torch.no_grad():
            model.projection.linear.weight.copy_(torch.eye(model.dim))
        subjects[asked.encoder.name] = (model, partial(reranked, window=asked.window))
    for name, (model, rank) in subjects.items():
        with tempfile.TemporaryDirectory() as folder:
            own, about_own = saved(model, Path(folder) / "own", "fp16", asked.dtype)
            int8, about_int8 = saved(model, Path(folder) / "int8", "int8", asked.dtype)
        figures = compared(rank(own, collection, index), rank(int8, collection, index), collection)
        record[name] = {"own": about_own, "int8": about_int8, "ndcg@10": figures}
        print(json.dumps({name: record[name]}, indent=1), flush=True)
    RESULTS.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
