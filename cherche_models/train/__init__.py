"""Train the models: examples, hard negatives, a teacher, a loop that resumes; or one step at a time."""

from cherche_models.train.bm25 import BM25
from cherche_models.train.data import Example
from cherche_models.train.fit import Settings, fit
from cherche_models.train.steps import flush, train_colbert, train_sparse_embed, train_splade
from cherche_models.train.teacher import Teacher

__all__ = [
    "BM25",
    "Example",
    "Settings",
    "Teacher",
    "fit",
    "flush",
    "train_colbert",
    "train_sparse_embed",
    "train_splade",
]
