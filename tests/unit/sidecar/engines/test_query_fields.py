"""Each engine reads every field of a query, or there is a reason why not."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

import sidecar.engines
from sidecar.values.first_stage import Query

FOLDER = Path(sidecar.engines.__path__[0])
UNREAD = {
    "opensearch": {},
    "embedded": {
        "names": "a name stands for one index of the file",
        "others": "a name stands for one index of the file, with one model",
        "weights": "its postings are its own",
        **dict.fromkeys(("first_terms", "candidates"), "its postings are in memory: one phase is fast, and exact"),
    },
}


def properties() -> dict[str, set[str]]:
    """Fields that each property of a Query reads."""
    tree = ast.parse(inspect.getsource(Query))
    return {
        function.name: {
            node.attr
            for node in ast.walk(function)
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self"
        }
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef) and "property" in map(ast.unparse, function.decorator_list)
    }


def read_from_queries(tree: ast.AST) -> Iterator[str]:
    """Attributes of every argument that is annotated as a Query, and what its properties read."""
    read_by = properties()
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [*function.args.args, *function.args.kwonlyargs]
            queries = {a.arg for a in arguments if a.annotation is not None and ast.unparse(a.annotation) == "Query"}
            for node in ast.walk(function):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in queries:
                    yield from read_by.get(node.attr, {node.attr})


@pytest.mark.parametrize("engine", list(UNREAD))
def test_an_engine_reads_every_field_of_a_query(engine: str) -> None:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (FOLDER / engine).rglob("*.py")]
    read = {name for tree in trees for name in read_from_queries(tree)}
    assert {field.name for field in fields(Query)} - read == set(UNREAD[engine])


def test_only_queries_count_as_read() -> None:
    tree = ast.parse(
        "def f(query: Query, page: Page, other: str) -> int:\n    return query.size + page.total + other.pit"
    )
    assert set(read_from_queries(tree)) == {"size"}
    tree = ast.parse("def f(query: Query) -> bool:\n    return query.by_ranks")
    assert "fusion" in set(read_from_queries(tree))
