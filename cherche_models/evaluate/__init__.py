"""Collections, measures and significance tests; importing this package needs numpy only."""

from cherche_models.evaluate.beir import Collection, download, read, read_corpus, read_qrels, read_queries
from cherche_models.evaluate.clicks import read_clicks
from cherche_models.evaluate.measures import MEASURES, evaluate, judged, per_query
from cherche_models.evaluate.runs import read_run, write_run
from cherche_models.evaluate.significance import Comparison, compare, standard_error

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
    "read_clicks",
    "read_corpus",
    "read_qrels",
    "read_queries",
    "read_run",
    "standard_error",
    "write_run",
]
