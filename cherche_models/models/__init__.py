"""Retrieval models, one per file, and the table of their architectures."""

from cherche_models.models.base import Model, Output
from cherche_models.models.colbert import ColBERT
from cherche_models.models.cross_encoder import CrossEncoder
from cherche_models.models.inference_free import InferenceFree
from cherche_models.models.joint import Joint
from cherche_models.models.m3 import M3
from cherche_models.models.sparse_embed import SparseEmbed
from cherche_models.models.splade import Splade

ARCHITECTURES: dict[str, type[Model]] = {
    model.architecture: model for model in (Splade, SparseEmbed, ColBERT, Joint, InferenceFree, M3)
}
"""Model class of each architecture; where a checkpoint could be two, the later is taken."""

__all__ = [
    "ARCHITECTURES",
    "M3",
    "ColBERT",
    "CrossEncoder",
    "InferenceFree",
    "Joint",
    "Model",
    "Output",
    "SparseEmbed",
    "Splade",
]
