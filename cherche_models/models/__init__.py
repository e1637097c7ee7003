"""Retrieval models, one per file."""

from cherche_models.models.base import Model, Output
from cherche_models.models.colbert import ColBERT
from cherche_models.models.cross_encoder import CrossEncoder
from cherche_models.models.inference_free import InferenceFree
from cherche_models.models.joint import Joint
from cherche_models.models.sparse_embed import SparseEmbed
from cherche_models.models.splade import Splade

__all__ = ["ColBERT", "CrossEncoder", "InferenceFree", "Joint", "Model", "Output", "SparseEmbed", "Splade"]
