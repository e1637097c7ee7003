"""Query weights for searches without a forward pass: ``python -m cherche_models.train.query_table MODEL CORPUS``.

A term of a query weighs its idf in a corpus (Geng et al. 2024, arXiv:2411.04403), or what is learned for it against
the model's documents (Nardini et al. 2025, arXiv:2505.01452). The table lies beside the model as ``idf.json``; searches
in the query mode ``doc_only`` use it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cherche_models import hub
from cherche_models.evaluate.beir import read_corpus, text_of
from cherche_models.losses import known_relevant, ranking, sparse_scores
from cherche_models.models.base import Model
from cherche_models.models.splade import Splade
from cherche_models.tokenizer import Kind
from cherche_models.train import data
from cherche_models.train.rows import Example
from cherche_models.types import TermWeights

_TEXTS = 256
_PAIRS = 500
Pair = tuple[str, str]
"""A query, and a document that answers it."""


def idf(model: Model, texts: Iterable[str]) -> Tensor:
    """Idf of each term of a model's vocabulary: ``ln(1 + (N - df + 0.5) / (df + 0.5))``.

    The form of Lucene's BM25 (Robertson & Spärck Jones), which OpenSearch's doc-only models have too. A term that no
    text holds has the largest weight, a special token 0. No forward pass is needed.

    Parameters
    ----------
    model : Model
        With term weights.
    texts : iterable of str
        Documents; of each, what the model reads.

    Returns
    -------
    Tensor, shape (vocabulary,)

    Raises
    ------
    TypeError
        If the model has no term weights.
    ValueError
        If there are no texts.
    """
    size, total, rest = len(_sparse(model).vocabulary), 0, iter(texts)
    counts = torch.zeros(size)
    while batch := list(islice(rest, _TEXTS)):
        for tokens in model.tokenize(batch, "document"):
            counts[sorted(set(tokens.ids))] += 1
        total += len(batch)
    if not total:
        raise ValueError("there are no texts to count terms in: give a corpus like the one that will be searched")
    table = torch.log1p((total - counts + 0.5) / (counts + 0.5))
    table[_frame(model)] = 0.0
    return table


def learned(
    model: Model,
    examples: Sequence[Example],
    start: Tensor,
    *,
    steps: int = 500,
    batch: int = 32,
    negatives: int = 4,
    learning_rate: float = 0.02,
    decay: float = 1e-3,
    seed: int = 0,
) -> Tensor:
    """Weights that rank each positive above the other documents of its batch; the model itself stays as it is.

    A term weighs ``start * exp(scale + change)``: never below 0, and a term that no example has keeps its place among
    the others. Documents are encoded once.

    Parameters
    ----------
    model : Model
        With term weights.
    examples : sequence of Example
    start : Tensor, shape (vocabulary,)
        Such as `idf`; terms of weight 0 keep it.
    steps, batch, negatives : int
        Batches, queries of each, and most hard negatives of a query.
    learning_rate, decay : float
        Of Adam, and the weight of the squared changes in the loss.
    seed : int

    Returns
    -------
    Tensor, shape (vocabulary,)

    Raises
    ------
    TypeError
        If the model has no term weights.
    ValueError
        If there are no examples.
    """
    if not examples:
        raise ValueError("there are no examples to learn weights of query terms from: give some, or use idf alone")
    size = len(_sparse(model).vocabulary)
    used = [(example, example.negatives[:negatives]) for example in examples]
    texts = list(dict.fromkeys(text for example, others in used for text in (example.positive, *others)))
    documents = dict(zip(texts, _term_weights(model, texts), strict=True))
    queries = [tokens.ids for tokens in model.tokenize([example.query for example in examples], "query")]
    scale, change = torch.zeros((), requires_grad=True), torch.zeros(size, requires_grad=True)
    optimizer = torch.optim.Adam([scale, change], lr=learning_rate)
    draw = np.random.default_rng(seed)
    for _ in range(steps):
        rows = draw.choice(len(examples), min(batch, len(examples)), replace=False)
        chosen = [used[row] for row in rows]
        columns = list(dict.fromkeys(text for example, others in chosen for text in (example.positive, *others)))
        positives = [example.positive for example, _ in chosen]
        table = start * torch.exp(scale + change)
        scores = sparse_scores(
            _present([queries[row] for row in rows], size) * table, _dense([documents[text] for text in columns], size)
        )
        masked = known_relevant(columns, positives, [set(example.answers) for example, _ in chosen])
        own = torch.tensor([columns.index(text) for text in positives])
        loss = ranking(scores, own, masked) + decay * change.square().sum()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return (start * torch.exp(scale + change)).detach()


def scaled(model: Model, table: Tensor, answered: Sequence[Pair]) -> Tensor:
    """The table times the factor with which a document scores, on average, as with the model's own query weights.

    So the boost of the sparse score, tuned for these, holds for queries by the table too.

    Raises
    ------
    ValueError
        If there are no pairs, or no document of one has a term of its query.
    """
    queries = [query for query, _ in answered]
    own = _term_weights(model, queries, "query")
    documents = _term_weights(model, [document for _, document in answered])
    looked_up = [
        TermWeights.from_pairs((i, w) for i in sorted(set(tokens.ids)) if (w := float(table[i])) > 0)
        for tokens in model.tokenize(queries, "query")
    ]
    full = sum(query.dot(document) for query, document in zip(own, documents, strict=True))
    by_table = sum(query.dot(document) for query, document in zip(looked_up, documents, strict=True))
    if not by_table:
        raise ValueError("no document has a term of its query: give pairs of a query and a document that answers it")
    return table * (full / by_table)


def pairs(examples: Sequence[Example]) -> list[Pair]:
    """Query and positive of some hundred examples, evenly spread."""
    step = max(1, len(examples) // _PAIRS)
    return [(example.query, example.positive) for example in examples[::step]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Write ``idf.json`` into a model's folder; without a forward pass unless weights are learned or scaled."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path, help="the model's folder")
    parser.add_argument("corpus", type=Path, help="documents, JSONL with _id, title and text")
    parser.add_argument("--learn", type=Path, help="training examples, JSONL with query, positive and negatives")
    parser.add_argument("--steps", type=int, default=500, help="of learning")
    parser.add_argument("--unscaled", action="store_true", help="keep idf itself instead of the scale of full queries")
    asked = parser.parse_args(arguments)
    model = hub.load(asked.model, device="cpu")
    documents = list(read_corpus(asked.corpus))
    table = idf(model, map(text_of, documents))
    examples = list(data.read(asked.learn)) if asked.learn else []
    if examples:
        table = learned(model, examples, table, steps=asked.steps)
    if not asked.unscaled:
        table = scaled(model, table, pairs(examples or list(data.title_pairs(documents))))
    path = hub.save_query_table(table, model, asked.model)
    print(json.dumps({"file": str(path), "documents": len(documents), "examples": len(examples)}))


def _sparse(model: Model) -> Splade:
    if not isinstance(model, Splade):
        raise TypeError(f"a {model.architecture} model has no term weights: load a splade or a joint one")
    return model


def _frame(model: Model) -> list[int]:
    """Ids around every text."""
    return sorted({i for kind in ("document", "query") for i in model.tokenize([""], kind)[0].ids})


def _term_weights(model: Model, texts: Sequence[str], kind: Kind = "document") -> list[TermWeights]:
    return [encoding.weights or TermWeights.empty() for encoding in model.encode(texts, kind)]


def _present(queries: Sequence[Sequence[int]], size: int) -> Tensor:
    rows = torch.zeros(len(queries), size)
    for row, ids in zip(rows, queries, strict=True):
        row[list(ids)] = 1.0
    return rows


def _dense(documents: Sequence[TermWeights], size: int) -> Tensor:
    rows = torch.zeros(len(documents), size)
    for row, weights in zip(rows, documents, strict=True):
        row[torch.from_numpy(weights.ids.astype(np.int64))] = torch.from_numpy(weights.weights)
    return rows


if __name__ == "__main__":
    main()
