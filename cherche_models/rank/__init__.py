"""Rankers: rerank the candidates of a first stage by a model."""

from cherche_models.rank.base import Ranker
from cherche_models.rank.colbert import ColBERT
from cherche_models.rank.cross_encoder import CrossEncoder
from cherche_models.rank.sparse_embed import SparseEmbed

__all__ = ["ColBERT", "CrossEncoder", "Ranker", "SparseEmbed"]
