"""Helpers for training and evaluation scripts."""

from cherche_models.utils.batches import batchify, iter
from cherche_models.utils.documents import Document, Filter, Key, Queries, Result, duplicates_queries_warning
from cherche_models.utils.evaluation import evaluate, get_beir_triples, load_beir
from cherche_models.utils.freeze import freeze_layers
from cherche_models.utils.scores import colbert_scores, dense_scores, pairs_dense_scores, sparse_scores

__all__ = [
    "Document",
    "Filter",
    "Key",
    "Queries",
    "Result",
    "batchify",
    "colbert_scores",
    "dense_scores",
    "duplicates_queries_warning",
    "evaluate",
    "freeze_layers",
    "get_beir_triples",
    "iter",
    "load_beir",
    "pairs_dense_scores",
    "sparse_scores",
]
