"""Training: data of any size, teachers, hard negative mining, a resumable loop, and single training steps."""

from cherche_models.train.bm25 import BM25
from cherche_models.train.fit import fit
from cherche_models.train.lora import lora
from cherche_models.train.rows import Example
from cherche_models.train.settings import Settings
from cherche_models.train.steps import flush, train_colbert, train_sparse_embed, train_splade
from cherche_models.train.teacher import Teacher
from cherche_models.train.watch import Watch
from cherche_models.utils.freeze import freeze

__all__ = [
    "BM25",
    "Example",
    "Settings",
    "Teacher",
    "Watch",
    "fit",
    "flush",
    "freeze",
    "lora",
    "train_colbert",
    "train_sparse_embed",
    "train_splade",
]
