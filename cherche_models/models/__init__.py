"""Retrieval models, one per file."""

from cherche_models.models.colbert import ColBERT
from cherche_models.models.joint import Joint
from cherche_models.models.splade import Splade

__all__ = ["ColBERT", "Joint", "Splade"]
