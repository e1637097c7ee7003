"""Train and use sparse and late-interaction retrieval models.

Sub-packages load on first use: ``from cherche_models import models`` needs
torch, ``from cherche_models import grid`` needs numpy alone.
"""

import importlib
from types import ModuleType

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


def __getattr__(name: str) -> ModuleType:
    """Import a sub-package when it is first asked for."""
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"cherche_models has no {name!r}")
