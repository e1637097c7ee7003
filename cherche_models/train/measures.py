"""Measures during training: on the queries of a collection, or on held-out examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from cherche_models import fuse, scores
from cherche_models.evaluate import Collection, evaluate
from cherche_models.evaluate.stages import Postings
from cherche_models.losses import known_relevant, late_scores, sparse_scores
from cherche_models.models.base import Model, Output
from cherche_models.tokenizer import Kind
from cherche_models.train.batch import candidates
from cherche_models.train.bm25 import BM25
from cherche_models.train.rows import Example
from cherche_models.types import Encoding

_TEXTS = 32
_QUERIES = 8


class CollectionMeasure:
    """nDCG@10 of each head over BM25 candidates, on the queries of a collection.

    Token embeddings rerank each query's own candidates; term weights rank the
    candidates and judged documents of all queries together. Other documents are not
    encoded, so the figures compare steps of a run but are not for a report.

    Parameters
    ----------
    collection : Collection
    queries : sequence of str
        Ids.
    depth : int
        BM25 candidates per query.
    query_length, document_length : int
        Maximum lengths in tokens; 0 for the model's own.
    """

    def __init__(
        self,
        collection: Collection,
        queries: Sequence[str],
        depth: int = 50,
        *,
        query_length: int = 0,
        document_length: int = 0,
    ) -> None:
        self._texts = {query: collection.queries[query] for query in queries}
        self._qrels = {query: collection.qrels[query] for query in queries}
        texts = collection.texts()
        index = BM25({key: (text,) for key, text in texts.items()})
        self._found = {query: [key for key, _ in index.search(text, depth)] for query, text in self._texts.items()}
        judged = (key for row in self._qrels.values() for key in row if key in texts)
        ids = dict.fromkeys([*judged, *(key for found in self._found.values() for key in found)])
        self._documents = {key: texts[key] for key in ids}
        self._lengths: dict[Kind, int] = {"query": query_length, "document": document_length}

    def __call__(self, model: Model) -> dict[str, float]:
        """The mean over the heads, then each head; larger is better."""
        documents = self._encode(model, self._documents, "document")
        queries = self._encode(model, self._texts, "query")
        heads = {}
        if model.sparse:
            heads["sparse"] = self._measure(self._by_weights(queries, documents))
        if model.late_interaction:
            heads["rerank"] = self._measure(self._by_vectors(queries, documents))
        return {"ndcg@10": sum(heads.values()) / len(heads), **heads}

    def _encode(self, model: Model, texts: Mapping[str, str], kind: Kind) -> dict[str, Encoding]:
        length = _shorter(self._lengths[kind], model, kind)
        return dict(zip(texts, model.encode(list(texts.values()), kind, length), strict=True))

    def _measure(self, rankings: dict[str, list[str]]) -> float:
        return evaluate(rankings, self._qrels, ["ndcg@10"])["ndcg@10"]

    def _by_weights(self, queries: dict[str, Encoding], documents: dict[str, Encoding]) -> dict[str, list[str]]:
        ids = list(documents)
        postings = Postings([found.weights for found in documents.values() if found.weights is not None])
        rankings = {}
        for key, query in queries.items():
            assert query.weights is not None
            row = postings.scores(query.weights)
            # Twice the cutoff, so that ties at rank 10 are broken by id.
            best = [i for i in np.argsort(-row, kind="stable")[:20] if row[i] > 0]
            rankings[key] = [ids[best[i]] for i in fuse.order(row[best], [ids[i] for i in best])][:10]
        return rankings

    def _by_vectors(self, queries: dict[str, Encoding], documents: dict[str, Encoding]) -> dict[str, list[str]]:
        rankings = {}
        for key, query in queries.items():
            found = self._found[key]
            vectors = [documents[document].embeddings for document in found]
            assert query.embeddings is not None
            late = scores.maxsim(query.embeddings, scores.pack([each for each in vectors if each is not None]))
            rankings[key] = [found[i] for i in fuse.order(late.astype(np.float64), found)][:10]
        return rankings


class ExampleMeasure:
    """Mean reciprocal rank of each head, over the candidates of all examples for every query.

    Parameters
    ----------
    examples : sequence of Example
        Held out from training.
    query_length, document_length : int
        Maximum lengths in tokens.
    """

    def __init__(self, examples: Sequence[Example], query_length: int = 64, document_length: int = 256) -> None:
        self._queries = [example.query for example in examples]
        self._documents = candidates(examples, [example.negatives for example in examples])
        positives = [example.positive for example in examples]
        self._columns = torch.tensor([self._documents.index(positive) for positive in positives])
        relevant = [{example.positive, *example.answers} for example in examples]
        own = torch.zeros(len(positives), len(self._documents), dtype=torch.bool).scatter(
            1, self._columns.unsqueeze(1), True
        )
        self._hidden = known_relevant(self._documents, positives, relevant) & ~own
        self._lengths: dict[Kind, int] = {"query": query_length, "document": document_length}

    def __call__(self, model: Model) -> dict[str, float]:
        """The mean over the heads, then each head; larger is better."""
        with torch.inference_mode():
            documents = self._encode(model, self._documents, "document")
            queries = self._encode(model, self._queries, "query")
            heads = {}
            if queries[0].weights is not None:
                heads["sparse"] = self._mrr(_matrix(queries, documents, _sparse))
            if queries[0].embeddings is not None:
                heads["late"] = self._mrr(_matrix(queries, documents, late_scores))
        return {"mrr": sum(heads.values()) / len(heads), **heads}

    def _encode(self, model: Model, texts: Sequence[str], kind: Kind) -> list[Output]:
        length = _shorter(self._lengths[kind], model, kind)
        size = _QUERIES if kind == "query" else _TEXTS
        tokens = model.tokenize(texts, kind, length)
        return [model(*model.collate(tokens[i : i + size], kind), kind) for i in range(0, len(tokens), size)]

    def _mrr(self, found: Tensor) -> float:
        found = found.cpu().masked_fill(self._hidden, -torch.inf)
        own = found.gather(1, self._columns.unsqueeze(1))
        others = torch.ones_like(found, dtype=torch.bool).scatter(1, self._columns.unsqueeze(1), False)
        rank = 1 + ((found >= own) & others).sum(dim=1)  # ties count against the positive: a constant scorer is worst
        return float((1.0 / rank).mean())


def _shorter(length: int, model: Model, kind: Kind) -> int:
    """A length, but no more than the model's own; 0 for that."""
    own = model.formats[kind].max_length
    return min(length or own, own)


def _sparse(queries: Output, documents: Output) -> Tensor:
    assert queries.weights is not None
    assert documents.weights is not None
    return sparse_scores(queries.weights, documents.weights)


def _matrix(
    queries: Sequence[Output], documents: Sequence[Output], score: Callable[[Output, Output], Tensor]
) -> Tensor:
    return torch.cat([torch.cat([score(some, others) for others in documents], dim=1) for some in queries])
