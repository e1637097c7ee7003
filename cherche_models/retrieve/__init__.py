"""Retrievers of in-memory documents (encode, add, search), and pipelines of them."""

from cherche_models.retrieve.base import Retriever
from cherche_models.retrieve.bm25 import BM25
from cherche_models.retrieve.colbert import ColBERT
from cherche_models.retrieve.pipeline import Searcher
from cherche_models.retrieve.plaid import PLAID
from cherche_models.retrieve.sparse_embed import SparseEmbed
from cherche_models.retrieve.splade import Splade
from cherche_models.retrieve.tfidf import TfIdf

__all__ = ["BM25", "PLAID", "ColBERT", "Retriever", "Searcher", "SparseEmbed", "Splade", "TfIdf"]
