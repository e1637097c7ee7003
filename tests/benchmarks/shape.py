"""Shape of the source tree: import cycles, sizes, names: ``python -m tests.benchmarks.shape [FOLDER]``.

FOLDER is a checkout, this one where none is given, so that two versions can be compared. All imports count, also
those inside functions, under ``TYPE_CHECKING`` and by ``importlib.import_module`` with a literal name.
"""

from __future__ import annotations

import ast
import io
import json
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

PACKAGES = ("cherche_models", "sidecar")

Graph = Mapping[str, set[str]]


def main() -> None:
    """Print the figures as JSON."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    print(json.dumps(measure(root), indent=2))


def measure(root: Path) -> dict[str, object]:
    """All figures of a checkout."""
    files = modules(root)
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in files.items()}
    graph = {name: imports(tree, name, files) for name, tree in trees.items()}
    functions = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, _FUNCTIONS)]
    classes = Counter(node.name for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    lines = [path.read_text(encoding="utf-8").count("\n") for path in files.values()]
    heights = [(node.end_lineno or node.lineno) - node.lineno + 1 for node in functions]
    private = [node.name.startswith("_") and not node.name.startswith("__") for node in functions]
    return {
        "modules": len(files),
        "imports": sum(len(targets) for targets in graph.values()),
        "cycles": cycles(graph),
        "cycles_of_folders": cycles(rooms(graph)),
        "file_lines": _quantiles(lines),
        "function_lines": _quantiles(heights),
        "private_functions": round(sum(private) / len(private), 3),
        "comment_lines": round(sum(_comments(path) for path in files.values()) / sum(lines), 4),
        "class_names_used_twice": sorted(name for name, count in classes.items() if count > 1 and name[0] != "_"),
        "told_or_tell": sum(_word(path) for path in files.values()),
    }


def modules(root: Path) -> dict[str, Path]:
    """Hand-written modules by dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            if "pb" not in parts:
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(tree: ast.Module, name: str, known: Mapping[str, Path]) -> set[str]:
    """Modules of `known` that a module imports, however it does so."""
    return {target for node in ast.walk(tree) for target in _targets(node, known) if target in known and target != name}


def cycles(graph: Graph) -> list[list[str]]:
    """Strongly connected components of two or more modules (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in graph[node]:
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            at = stack.index(node)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for node in graph:
        if node not in index:
            visit(node)
    return sorted(found, key=len, reverse=True)


def rooms(graph: Graph) -> dict[str, set[str]]:
    """The same imports between folders of a package, or files beside them.

    >>> rooms({"sidecar.rpc.server": {"sidecar.errors"}, "sidecar.errors": set()})
    {'sidecar.rpc': {'sidecar.errors'}, 'sidecar.errors': set()}
    """
    found: dict[str, set[str]] = {_room(module): set() for module in graph}
    for source, targets in graph.items():
        found[_room(source)] |= {_room(target) for target in targets} - {_room(source)}
    return found


_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef


def _room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def _targets(node: ast.AST, known: Mapping[str, Path]) -> Iterator[str]:
    match node:
        case ast.ImportFrom(module=str(module), names=names):
            for alias in names:
                full = f"{module}.{alias.name}"
                yield full if full in known else module
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(module)), *_]):
            yield module


def _quantiles(values: list[int]) -> dict[str, float]:
    return {
        "median": float(np.median(values)),
        "p90": float(np.quantile(values, 0.9)),
        "largest": float(max(values)),
    }


def _comments(path: Path) -> int:
    """Comments that explain; those that direct a tool do not count."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    return sum(
        token.type == tokenize.COMMENT and not token.string.startswith(("# noqa", "# type:", "# pragma"))
        for token in tokens
    )


def _word(path: Path) -> int:
    words = path.read_text(encoding="utf-8").replace("_", " ").split()
    return sum(word.strip(".,:;()`'\"").lower() in ("told", "tell", "tells") for word in words)


if __name__ == "__main__":
    main()
