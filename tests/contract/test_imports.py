"""The import contracts hold, report every module that breaks one, and no import escapes them."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.benchmarks import shape

ROOT = Path(__file__).parents[2]
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"

NUMPY = (
    "types",
    "naming",
    "chunks",
    "grid",
    "prune",
    "codec",
    "codes",
    "scores",
    "fuse",
    "kernel",
    "evaluate",
    "lexical",
    "passages",
)
"""Modules of `cherche_models` that the whole sidecar may import."""
TORCH = (
    "cherche_models.backbone",
    "cherche_models.hub",
    "cherche_models.layouts",
    "cherche_models.losses",
    "cherche_models.models",
    "cherche_models.quantized",
    "cherche_models.rank",
    "cherche_models.retrieve",
    "cherche_models.runtime",
    "cherche_models.tokenizer",
    "cherche_models.train",
    "cherche_models.utils",
)
DOORS = {
    "cherche_models": "cherche_models",
    "cherche_models.codes.table": "cherche_models.codes.codecs",
    "cherche_models.train.corpus.table": "cherche_models.train.corpus.sources",
    "sidecar.cli": None,  # a table of strings names its verbs
    "sidecar.gateway.dialects": "sidecar.gateway.dialects",
}
"""Modules that load others by name, and the folder of these."""
EDGES = ("sidecar.wire", "sidecar.rpc", "sidecar.client")

PLANTS = (  # statement, what it imports, where it may stand
    ("import torch", "torch", TORCH),
    ("from sidecar.pb.cherche.v1 import search_pb2", "sidecar.pb.cherche.v1.search_pb2", EDGES),
    ("import grpc", "grpc", EDGES),
    ("from google.protobuf.message import Message", "google", EDGES),
    ("import sidecar.engines.embedded.engine", "sidecar.engines.embedded.engine", ("sidecar.serve", "sidecar.engines")),
    ("import scipy", "scipy", ("cherche_models.codes.pool", "cherche_models.retrieve", "sidecar.engines.embedded")),
    ("import opensearchpy", "opensearchpy", ("sidecar.engines.opensearch",)),
    ("import sqlite3", "sqlite3", ("sidecar.engines.embedded", "cherche_models.lexical", "cherche_models.train.bm25")),
    ("import fastapi", "fastapi", ("sidecar.gateway",)),
    ("import prometheus_client", "prometheus_client", ("sidecar.observe",)),
    ("import click", "click", ("sidecar.cli",)),
)


def copied(root: Path) -> dict[str, Path]:
    """A copy of the two packages and their contracts; its modules."""
    unwanted = shutil.ignore_patterns("__pycache__", "pretrained", "chart", "*.pyi")
    for package in shape.PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=unwanted)
    shutil.copy(ROOT / "pyproject.toml", root)
    return shape.modules(root)


def append(path: Path, *statements: str) -> None:
    path.write_text("\n".join((path.read_text(encoding="utf-8"), *statements, "")), encoding="utf-8")


def lint(root: Path) -> tuple[int, str]:
    """Exit status and report of the contracts."""
    environment = {**os.environ, "PYTHONPATH": str(root), "COLUMNS": "200"}
    command = [sys.executable, "-c", LINT, "--no-cache"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def test_the_contracts_hold(tmp_path: Path) -> None:
    copied(tmp_path)
    status, report = lint(tmp_path)
    assert status == 0, report


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """Illegal imports of a tree in which every module holds every plant, and one module everything that loads torch."""
    root = tmp_path_factory.mktemp("planted")
    modules = copied(root)
    for module, path in modules.items():
        append(path, *(statement for statement, _, _ in PLANTS))
        if is_in(module, ("sidecar",)):
            append(path, "import cherche_models.hub")
    append(modules["sidecar.errors"], *(f"import {module}" for module in modules if is_in(module, TORCH)))
    status, report = lint(root)
    assert status == 1
    blocks = re.findall(r"^Illegal imports of protected package .*:\n\n((?:- .*\n\n)+)", report, re.MULTILINE)
    return {pair for block in blocks for pair in re.findall(r"^- (\S+) -> (\S+) ", block, re.MULTILINE)}


@pytest.mark.parametrize(("imported", "allowed"), [plant[1:] for plant in PLANTS])
def test_every_other_module_is_reported(
    imported: str, allowed: tuple[str, ...], reported: set[tuple[str, str]]
) -> None:
    importers = {importer for importer, target in reported if target == imported}
    assert importers == {module for module in shape.modules(ROOT) if not is_in(module, allowed)}


def test_only_the_library_of_models_imports_what_loads_torch(reported: set[tuple[str, str]]) -> None:
    modules = shape.modules(ROOT)
    importers = {module for module in modules if is_in(module, ("sidecar",))} - {"sidecar.models.library"}
    assert {importer for importer, target in reported if target == "cherche_models.hub"} == importers
    targets = {target for importer, target in reported if importer == "sidecar.errors"}
    assert {module for module in modules if is_in(module, TORCH)} <= targets


@pytest.mark.parametrize("name", NUMPY)
def test_what_needs_numpy_alone_loads_no_torch(name: str) -> None:
    code = f"import sys, cherche_models.{name}; print({{'torch', 'transformers', 'tokenizers'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_an_upward_import_and_a_module_without_a_place_are_reported(tmp_path: Path) -> None:
    modules = copied(tmp_path)
    append(modules["sidecar.errors"], "def late() -> None:", "    from sidecar.rpc import server")
    (tmp_path / "sidecar" / "unplaced.py").write_text("", encoding="utf-8")
    status, report = lint(tmp_path)
    assert status == 1
    assert "sidecar.errors -> sidecar.rpc.server" in report
    assert "- sidecar.unplaced" in report


def test_no_import_is_hidden_in_a_call() -> None:
    hidden = {
        module
        for module, path in shape.modules(ROOT).items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__")
    }
    assert hidden == set(DOORS)


def graph_of(files: Mapping[str, Path]) -> dict[str, set[str]]:
    """Imports, also inside functions and under ``TYPE_CHECKING``; what a string names; what a door loads."""
    graph = {}
    for module, path in files.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        named = {name for name in files if "." in name and name in strings}
        loaded = {name for name in files if name.rpartition(".")[0] == DOORS.get(module)}
        graph[module] = (shape.imports(tree, module, files) | named | loaded) - {module}
    return graph


def test_no_modules_import_each_other_in_a_circle(tmp_path: Path) -> None:
    assert not shape.cycles(graph_of(shape.modules(ROOT)))
    planted = copied(tmp_path)
    append(
        planted["cherche_models.codes.codecs.int8"], "def late() -> None:", "    from cherche_models.codes import table"
    )
    append(planted["sidecar.values.index"], 'LATE = "sidecar.cli.feed"')
    [codes, values] = sorted(shape.cycles(graph_of(planted)))
    assert codes == ["cherche_models.codes.codecs.int8", "cherche_models.codes.table"]
    assert {"sidecar.cli.feed", "sidecar.values.index"} <= set(values)
