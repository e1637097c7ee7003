"""Collections, measures and significance; importing it needs numpy alone."""

from cherche_models.evaluate.beir import Collection, download, read, read_corpus, read_qrels, read_queries
from cherche_models.evaluate.measures import MEASURES, evaluate, judged, per_query
from cherche_models.evaluate.significance import Comparison, compare

__all__ = [
    "MEASURES",
    "Collection",
    "Comparison",
    "compare",
    "download",
    "evaluate",
    "judged",
    "per_query",
    "read",
    "read_corpus",
    "read_qrels",
    "read_queries",
]
