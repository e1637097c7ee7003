"""Train and use sparse and late-interaction retrieval models.

Sub-packages load on first use: ``from cherche_models import models`` needs
torch, ``from cherche_models import grid`` needs numpy alone.
"""

__all__ = [
    "codec",
    "evaluate",
    "fuse",
    "grid",
    "hub",
    "losses",
    "models",
    "naming",
    "prune",
    "rank",
    "retrieve",
    "scores",
    "train",
    "types",
    "utils",
]
