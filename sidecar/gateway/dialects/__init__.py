"""The JSON dialects, one module each; a module that is added here is served, documented and listed by the CLI."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from collections.abc import Iterable
from typing import Any

from sidecar.gateway.connectors import Connector
from sidecar.gateway.dialect import Dialect
from sidecar.gateway.rerank_dialect import AnyRerankDialect, routes

AnyDialect = Dialect[Any, Any, Any]


def checked(dialects: Iterable[AnyDialect]) -> tuple[AnyDialect, ...]:
    """The dialects, in order.

    Raises
    ------
    ValueError
        If two have the same path or name: one of them would never answer.
    """
    found = tuple(dialects)
    for value, count in Counter(value for dialect in found for value in (dialect.path, dialect.name)).items():
        if count > 1:
            raise ValueError(f"{count} dialects claim {value!r}: give each its own")
    return found


_MODULES = [importlib.import_module(module.name) for module in pkgutil.iter_modules(__path__, f"{__name__}.")]
RERANKERS: tuple[AnyRerankDialect, ...] = tuple(one for module in _MODULES for one in getattr(module, "RERANKERS", ()))
DIALECTS: tuple[AnyDialect, ...] = checked(
    [*(one for module in _MODULES for one in getattr(module, "DIALECTS", ())), *routes(RERANKERS)]
)
CONNECTORS: tuple[Connector, ...] = (
    *(connector for dialect in DIALECTS for connector in dialect.connectors),
    *(connector for dialect in RERANKERS for connector in dialect.connectors),
)
