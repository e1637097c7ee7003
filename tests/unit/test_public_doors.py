"""Each package's ``__all__`` is exactly what its ``__init__`` offers."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def packages_with_doors() -> list[str]:
    inits = [path for package in ("cherche_models", "sidecar") for path in (ROOT / package).rglob("__init__.py")]
    doors = [path.parent.relative_to(ROOT) for path in inits if "__all__" in path.read_text(encoding="utf-8")]
    return sorted(".".join(path.parts) for path in doors)


@pytest.mark.parametrize("name", packages_with_doors())
def test_the_door_is_exact(name: str) -> None:
    package = importlib.import_module(name)
    offered = list(package.__all__)
    assert len(offered) == len(set(offered)), "a name stands twice in __all__"
    for public in offered:
        assert hasattr(package, public), f"{name}.{public} is promised and not there"
    source = ast.parse(inspect.getsource(package))
    bound = {name for node in source.body for name in _bound_by(node) if not name.startswith("_")}
    assert bound - {"annotations", "TYPE_CHECKING"} <= set(offered) | _imported_modules(source)


def _bound_by(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.ImportFrom):
        return [alias.asname or alias.name for alias in node.names]
    return []


def _imported_modules(tree: ast.Module) -> set[str]:
    """Names that an ``__init__`` imports from elsewhere for its own use."""
    return {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith(("cherche_models", "sidecar"))
        for alias in node.names
    }
