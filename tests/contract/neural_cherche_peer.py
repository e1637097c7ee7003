"""Runs the published neural-cherche, in the environment that has it: ``python neural_cherche_peer.py JOB``.

``JOB/job.json`` names a checkpoint, texts and settings; answers go to ``JOB/answers.npz`` and
``JOB/answers.json``, the checkpoints it saves beside them. Knows nothing of this project.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

# transformers 5 removed what every model of neural-cherche 1.4.3 calls.
PreTrainedTokenizerBase.batch_encode_plus = lambda self, batch_text_or_text_pairs, **options: self(
    batch_text_or_text_pairs, **options
)

from neural_cherche import losses, models, rank, retrieve, utils  # noqa: E402 - after the method is restored
from neural_cherche.utils.dense_scores import pairs_dense_scores  # noqa: E402 - which utils lacks


class Answers:
    """Arrays by name, and results of retrievers and rankers."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self.lists: dict[str, Any] = {}

    def tensors(self, name: str, found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        self.arrays |= {f"{name}.{key}": value.detach().numpy() for key, value in found.items()}
        return found

    def results(self, name: str, found: list[list[dict[str, Any]]]) -> None:
        self.lists[name] = [[[hit["id"], float(hit["similarity"])] for hit in hits] for hits in found]

    def save(self, folder: Path) -> None:
        np.savez(folder / "answers.npz", **self.arrays)
        (folder / "answers.json").write_text(json.dumps(self.lists))


def encode(answers: Answers, name: str, model: Any, job: dict[str, Any]) -> tuple[dict, dict]:
    asked = answers.tensors(f"{name}.query", model.encode(job["queries"], query_mode=True))
    texts = [document["text"] for document in job["documents"]][: len(job["queries"])]
    return asked, answers.tensors(f"{name}.document", model.encode(texts, query_mode=False))


def retrieved(answers: Answers, name: str, retriever: Any, job: dict[str, Any], **options: Any) -> None:
    half = len(job["documents"]) // 2
    embeddings = retriever.encode_documents(job["documents"], **options)
    keys = list(embeddings)
    for part in (keys[:half], keys[half:]):
        retriever.add({key: embeddings[key] for key in part})
    queries = retriever.encode_queries(job["queries"], **options)
    answers.results(f"{name}.all", retriever(queries, tqdm_bar=False))
    answers.results(f"{name}.best", retriever(queries, k=2, tqdm_bar=False))


def ranked(answers: Answers, name: str, ranker: Any, job: dict[str, Any]) -> None:
    documents = ranker.encode_documents(job["documents"], tqdm_bar=False)
    queries = ranker.encode_queries(job["queries"], tqdm_bar=False)
    candidates = [job["documents"]] * (len(job["queries"]) - 1) + [[]]
    answers.results(name, ranker(candidates, queries, documents, tqdm_bar=False, k=5))


def triple(model: Any, job: dict[str, Any]) -> list[dict[str, torch.Tensor]]:
    texts = [document["text"] for document in job["documents"]]
    number = len(job["queries"])
    with torch.no_grad():
        return [
            model(job["queries"], query_mode=True),
            model(texts[:number], query_mode=False),
            model(texts[-number:], query_mode=False),
        ]


def colbert(answers: Answers, folder: Path, job: dict[str, Any]) -> None:
    model = models.ColBERT(job["colbert"], device="cpu")
    model.save_pretrained(str(folder / "colbert"))
    encode(answers, "colbert", model, job)
    texts = [document["text"] for document in job["documents"]][: len(job["queries"])]
    answers.arrays["colbert.scores"] = model.scores(job["queries"], texts, tqdm_bar=False).numpy()
    retrieved(answers, "retrieve.colbert", retrieve.ColBERT("id", ["text"], model), job, tqdm_bar=False)
    ranked(answers, "rank.colbert", rank.ColBERT("id", ["text"], model), job)
    anchor, positive, negative = (found["embeddings"] for found in triple(model, job))
    scores = utils.colbert_scores(anchor, positive, negative)
    answers.tensors("utils.colbert", scores)
    answers.arrays["losses.ranking"] = losses.Ranking()(**scores).numpy()


def splade(answers: Answers, folder: Path, job: dict[str, Any]) -> None:
    model = models.Splade(job["checkpoint"], device="cpu", **job["lengths"])
    model.save_pretrained(str(folder / "splade"))
    asked, _ = encode(answers, "splade", model, job)
    answers.lists["splade.decode"] = model.decode(asked["sparse_activations"], k_tokens=8)
    texts = [document["text"] for document in job["documents"]][: len(job["queries"])]
    answers.arrays["splade.scores"] = model.scores(job["queries"], texts, tqdm_bar=False).numpy()
    retrieved(answers, "retrieve.splade", retrieve.Splade("id", ["text"], model), job, tqdm_bar=False)
    sides = [found["sparse_activations"] for found in triple(model, job)]
    answers.tensors("utils.sparse", utils.sparse_scores(*sides))
    for name, threshold in (("far", 30.0), ("near", answers_near(sides))):
        answers.arrays[f"losses.flops.{name}"] = losses.Flops()(*sides, threshold=threshold).numpy()
    schedule = losses.FlopsScheduler(steps=4)
    answers.lists["losses.schedule"] = [schedule.get() for _ in range(6)]


def answers_near(sides: list[torch.Tensor]) -> float:
    """A threshold within reach of the loss's window."""
    return float((torch.cat(sides).abs().mean(dim=0) ** 2).sum()) + 0.25


def sparse_embed(answers: Answers, folder: Path, job: dict[str, Any]) -> None:
    model = models.SparseEmbed(job["checkpoint"], embedding_size=16, device="cpu", **job["lengths"])
    model.save_pretrained(str(folder / "sparse_embed"))
    asked, offered = encode(answers, "sparse_embed", model, job)
    answers.arrays["sparse_embed.scores"] = pairs_dense_scores(
        asked["activations"], offered["activations"], asked["embeddings"], offered["embeddings"]
    ).numpy()
    retrieved(answers, "retrieve.sparse_embed", retrieve.SparseEmbed("id", ["text"], model), job, tqdm_bar=False)
    ranked(answers, "rank.sparse_embed", rank.SparseEmbed("id", ["text"], model), job)
    sides = triple(model, job)
    terms, vectors = [found["activations"] for found in sides], [found["embeddings"] for found in sides]
    answers.tensors("utils.dense", utils.dense_scores(*terms, *vectors))


def main(folder: Path) -> None:
    job = json.loads((folder / "job.json").read_text())
    os.chdir(folder)
    torch.manual_seed(0)
    answers = Answers()
    retrieved(answers, "retrieve.tfidf", retrieve.TfIdf("id", ["text"]), job)
    retrieved(answers, "retrieve.bm25", retrieve.BM25("id", ["text"], epsilon=0.1), job)
    colbert(answers, folder, job)
    splade(answers, folder, job)
    sparse_embed(answers, folder, job)
    answers.save(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
