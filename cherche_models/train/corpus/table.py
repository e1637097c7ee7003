"""The sources there are: that of every module in `cherche_models.train.corpus.sources`."""

from __future__ import annotations

import importlib
import pkgutil

from cherche_models.train.corpus import sources
from cherche_models.train.corpus.base import Source


def discover() -> dict[str, Source]:
    """Sources by name, in ascending order.

    Raises
    ------
    AttributeError
        If a module defines no ``SOURCE``.
    """
    modules = [
        importlib.import_module(f"{sources.__name__}.{found.name}") for found in pkgutil.iter_modules(sources.__path__)
    ]
    return {module.SOURCE.name: module.SOURCE for module in modules}
