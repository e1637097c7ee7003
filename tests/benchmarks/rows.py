"""The seven rows of neural-cherche's table, ours beside them: ``python -m tests.benchmarks.rows DATA [--encoder DIR]``.

SciFact's test split (a BEIR folder in DATA), title and text of a document joined, by the library's own retrievers
and rankers and the shipped model. Measures are those of that table: hits@K counts the relevant documents among the
first K (ranx), so that it is K times precision@K. DIR is a Sentence Transformers encoder for the row of cosines.
Nothing is tuned here. What a search fuses of these stages is measured by `tests.benchmarks.quality`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cherche_models import hub, rank, retrieve
from cherche_models.evaluate import Collection, evaluate, read
from cherche_models.models.base import Model
from cherche_models.retrieve.splade import weights_row
from cherche_models.train.teacher import Teacher
from tests.benchmarks.machine import machine

RESULTS = Path(__file__).parent / "results" / "rows.json"
MEASURES = ("ndcg@10", "precision@10", "precision@1")
LONGEST = 256
"""Tokens that the encoder of the row of cosines reads."""
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


def rankings(collection: Collection, model: Model, encoder: Teacher | None) -> dict[str, Rankings]:
    """A hundred documents of each row for each judged query."""
    documents = [
        {"id": key, "title": str(d.get("title") or ""), "text": str(d.get("text") or "")}
        for key, d in collection.documents.items()
    ]
    ids = list(collection.qrels)
    asked = [collection.queries[query] for query in ids]
    where = {"key": "id", "on": ["title", "text"]}
    late, again = retrieve.ColBERT(**where, model=model), rank.ColBERT(**where, model=model)
    sparse = retrieve.Splade(**where, model=model)
    # One pass for both heads instead of `add_documents` for each.
    encoded = dict(zip(collection.documents, model.encode(list(collection.texts().values()), "document"), strict=True))
    vectors = {key: one.embeddings.vectors for key, one in encoded.items() if one.embeddings is not None}
    late.add(vectors), again.add(vectors)
    sparse.add({key: weights_row(one, len(model.vocabulary)) for key, one in encoded.items()})
    lexical = {"TfIdf": retrieve.TfIdf(**where), "BM25": retrieve.BM25(**where)}
    rows = {
        **{name: one.add_documents(documents) for name, one in lexical.items()},
        "sparse": sparse,
        "ColBERT": late,
        **{f"{name} → ColBERT": one + again for name, one in lexical.items()},
    }
    found = {
        name: dict(zip(ids, ([str(r["id"]) for r in list_] for list_ in row.search(asked, k=100)), strict=True))
        for name, row in rows.items()
    }
    if encoder is not None:
        found["dense"] = dense(collection, ids, encoder)
    return found


def dense(collection: Collection, ids: list[str], encoder: Teacher) -> Rankings:
    """Cosines of a sentence encoder."""
    keys = list(collection.documents)
    cosines = encoder.scores([collection.queries[i] for i in ids], list(collection.texts().values())).numpy()
    return {query: [keys[i] for i in np.argsort(-row)[:100]] for query, row in zip(ids, cosines, strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder of BEIR folders")
    parser.add_argument("--model", type=Path, default=hub.PRETRAINED / "cherche-small", help="model with both heads")
    parser.add_argument("--encoder", type=Path, help="Sentence Transformers folder for the row of cosines")
    parser.add_argument("--vectors", type=Path, metavar="DIR", help="keep its vectors, so that a stopped run goes on")
    parser.add_argument("--dtype", help="of model and encoder: bf16 or fp32 (the one that is faster here)")
    asked = parser.parse_args()
    if asked.vectors and not asked.encoder:
        parser.error("--vectors keeps those of an --encoder")
    model, scifact = hub.load(asked.model, dtype=asked.dtype), read(asked.data / "scifact")
    kept = asked.vectors and asked.vectors / asked.encoder.name
    encoder = asked.encoder and Teacher(asked.encoder, max_length=LONGEST, dtype=model.dtype, vectors=kept)
    found = rankings(scifact, model, encoder)
    rows: dict[str, Any] = {}
    for name, theirs in THEIRS.items():
        ours = evaluate(found[name], scifact.qrels, MEASURES) if name in found else None
        rows[name] = {
            "neural-cherche": theirs,
            "ours": ours and [round(v, 4) for v in (ours["ndcg@10"], 10 * ours["precision@10"], ours["precision@1"])],
        }
    record = {
        "machine": machine(),
        "model": {
            "name": asked.model.name,
            "digest": model.digest,
            "dtype": str(model.dtype),
            "dim": model.dim,
            "max_length": {kind: style.max_length for kind, style in model.formats.items()},
        },
        "encoder": asked.encoder and {"name": asked.encoder.name, "max_length": LONGEST},
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(rows, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
