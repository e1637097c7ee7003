"""Long documents, cut or in windows: ``python -m tests.benchmarks.long FOLDER... [--model PATH] [--most N...]``.

Each FOLDER is a collection of long documents (BEIR layout, one file of judgements), whose queries look for something
anywhere in a document. Compared are documents that are cut at the model's maximum length, and documents of at most N
windows (`cherche setup --chunks N`), their term weights pooled by quadratic mean and by maximum. With ``--rerank`` also
the hybrid window reranked by MaxSim. Nothing is tuned here.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cherche_models import hub
from cherche_models.chunks import POOLINGS, pooled
from cherche_models.evaluate import Collection, compare, per_query, read
from cherche_models.evaluate.stages import Postings, Stages, matrix
from cherche_models.models.base import Model
from cherche_models.train.bm25 import BM25
from cherche_models.types import Encoding, TermWeights, TokenEmbeddings, Tokens
from sidecar.pipeline.chunks import spans
from sidecar.values.chunks import DEFAULT_OVERLAP, Chunks
from tests.benchmarks.machine import machine

RESULTS = Path(__file__).parent / "results" / "long.json"
Values = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Encoded:
    """A collection whose documents are encoded in the windows of each number of chunks."""

    collection: Collection
    bm25: np.ndarray
    queries: list[Encoding]
    documents: dict[int, list[list[Encoding]]]


def encoded(model: Model, collection: Collection, numbers: Sequence[int]) -> Encoded:
    """Encode queries, and each distinct window of the documents once."""
    style = model.formats["document"]
    whole = model.tokenizer.tokenize(list(collection.texts().values()), replace(style, max_length=10**6))
    room = style.max_length - model.tokenizer.special_length(style)
    edge = 1 + (style.marker is not None)
    cut = {most: [windows(tokens, room, edge, most) for tokens in whole] for most in numbers}
    distinct = list({(o.ids): o for documents in cut.values() for document in documents for o in document}.values())
    found = dict(zip((one.ids for one in distinct), model.encode_tokens(distinct, "document"), strict=True))
    index = BM25(
        {key: (str(d.get("title") or ""), str(d.get("text") or "")) for key, d in collection.documents.items()}
    )
    texts = [collection.queries[query] for query in collection.qrels]
    return Encoded(
        collection,
        matrix([dict(index.search(text, 1000)) for text in texts], list(collection.documents)),
        model.encode(texts, "query"),
        {most: [[found[one.ids] for one in document] for document in documents] for most, documents in cut.items()},
    )


def windows(tokens: Tokens, room: int, edge: int, most: int) -> list[Tokens]:
    """The windows of a document as a sidecar cuts them; one is what the model reads of it without windows."""
    frame, body = (tokens.ids[:edge], tokens.ids[-1:]), tokens.ids[edge:-1]
    chunks = Chunks(most, DEFAULT_OVERLAP if most > 1 else 0)
    reach = room + (most - 1) * (room - chunks.overlap)
    found = []
    for start, end in spans(min(len(body), reach), room, chunks):
        ids = (*frame[0], *body[start:end], *frame[1])
        found.append(Tokens(ids, ("",) * len(ids), len(ids)))
    return found


def measured(model: Model, held: Encoded, most: int, pooling: str, *, rerank: bool) -> tuple[Values, float]:
    """NDCG@10 of every query and mode, and the mean number of terms."""
    documents = held.documents[most]
    weights = [pooled([one.weights or TermWeights.empty() for one in parts], pooling) for parts in documents]
    rows = (
        [
            TokenEmbeddings(np.concatenate([one.embeddings.vectors for one in parts if one.embeddings is not None]))
            for parts in documents
        ]
        if rerank
        else []
    )
    postings = Postings(weights)
    sparse = np.stack([postings.scores(one.weights or TermWeights.empty()) for one in held.queries])
    late = [one.embeddings for one in held.queries if one.embeddings is not None] if rerank else []
    qrels = held.collection.qrels
    stages = Stages(list(held.collection.documents), list(qrels), held.bm25, sparse, rows, late)
    hybrid = stages.hybrid(model.sparse_boost)
    rankings = {"sparse": stages.rank(sparse), "hybrid": stages.rank(hybrid)}
    if rerank:
        rankings["hybrid+rerank"] = stages.rerank(hybrid, [model.rerank_weight])[model.rerank_weight]
    values = {mode: per_query(ranking, qrels)["ndcg@10"] for mode, ranking in rankings.items()}
    return values, float(np.mean([len(one) for one in weights]))


def report(model: Model, folder: Path, numbers: Sequence[int], *, rerank: bool) -> dict[str, Any]:
    """Figures of one collection; differences are from documents that are cut."""
    (judged,) = (folder / "qrels").glob("*.tsv")
    held = encoded(model, read(folder, judged.stem), [1, *numbers])
    cut, terms = measured(model, held, 1, POOLINGS[0], rerank=rerank)
    found: dict[str, Any] = {
        "documents": len(held.collection.documents),
        "queries": len(held.queries),
        "cut": {**{mode: _mean(values) for mode, values in cut.items()}, "terms": round(terms)},
    }
    for most in numbers:
        count = float(np.mean([len(parts) for parts in held.documents[most]]))
        found[f"{most} windows"] = {"mean": round(count, 1)}
        for pooling in POOLINGS:
            ours, terms = measured(model, held, most, pooling, rerank=rerank)
            found[f"{most} windows"][pooling] = {
                **{mode: _compared(cut[mode], values) for mode, values in ours.items()},
                "terms": round(terms),
            }
    return found


def _mean(values: dict[str, float]) -> float:
    return round(float(np.mean(list(values.values()))), 4)


def _compared(cut: dict[str, float], ours: dict[str, float]) -> dict[str, float]:
    result = compare(cut, ours)
    return {"ndcg@10": _mean(ours), "difference": round(result.difference, 4), "p": round(result.p_value, 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, help="BEIR folders")
    parser.add_argument("--model", default="cherche-small")
    parser.add_argument("--most", nargs="+", type=int, default=[8, 64])
    parser.add_argument("--rerank", action="store_true")
    asked = parser.parse_args()
    model = hub.load(asked.model, device="cpu")
    record: dict[str, Any] = {"machine": machine(), "digest": model.digest, "sparse_boost": model.sparse_boost}
    for folder in asked.folders:
        record[folder.name] = report(model, folder, asked.most, rerank=asked.rerank)
        print(json.dumps({folder.name: record[folder.name]}, indent=1), flush=True)
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
