"""What a training or evaluation script needs besides models, retrievers and rankers."""

from cherche_models.utils.batches import batchify, iter
from cherche_models.utils.documents import Document, Filter, Key, Queries, Result
from cherche_models.utils.evaluation import evaluate, get_beir_triples, load_beir

__all__ = [
    "Document",
    "Filter",
    "Key",
    "Queries",
    "Result",
    "batchify",
    "evaluate",
    "get_beir_triples",
    "iter",
    "load_beir",
]
