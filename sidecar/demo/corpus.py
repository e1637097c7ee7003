"""The demo's corpus: the documentation of Python's own standard library.

Docstrings of public modules, classes and functions are parsed from the library's source files with `ast`; nothing
is imported or run. Only the builtins, which have no source, are read from their ``__doc__``.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import json
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_CHARACTERS = 300  # the first sentences say what a name does
MIN_WORDS = 4
# Not documentation of the library, removed in later versions, or (tkinter) a tenth of it about one subject.
SKIPPED = frozenset(
    {"dist-packages", "distutils", "encodings", "ensurepip", "idlelib", "lib2to3", "pydoc_data"}
    | {"site-packages", "test", "tests", "tkinter", "turtledemo"}
)
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Entry:
    """Documentation of one name.

    Attributes
    ----------
    id : str
        Its dotted name, such as ``subprocess.run``.
    text : str
        The docstring, its whitespace collapsed, at most `MAX_CHARACTERS` long.
    """

    id: str
    text: str

    def to_bytes(self) -> bytes:
        """The document to feed, as JSON: the dotted name is the title."""
        return json.dumps({"title": self.id, "text": self.text}, ensure_ascii=False).encode()


def standard_library() -> list[Entry]:
    """All entries of this interpreter's library in ascending order of id."""
    entries = dict(_builtin_entries())
    root = Path(sysconfig.get_path("stdlib"))
    for path in module_files(root):
        for name, text in module_entries(path, root):
            entries.setdefault(name, text)
    return [Entry(name, entries[name]) for name in sorted(entries)]


def module_files(root: Path) -> list[Path]:
    """Source files of public modules and packages under `root`, in order."""
    return sorted(path for path in root.rglob("*.py") if _is_documented(path.relative_to(root)))


def module_entries(path: Path, root: Path) -> Iterator[tuple[str, str]]:
    """Dotted name and documentation of everything that `path` documents.

    A private module of a public package documents the package's names:
    ``pathlib/_local.py`` holds ``pathlib.Path`` in Python 3.13.
    """
    parts = path.relative_to(root).with_suffix("").parts
    name = ".".join(part for part in parts if _is_public(part))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in the library's own strings
        tree = ast.parse(path.read_bytes())
    yield from _documented(tree, name)


def _documented(node: Documented, name: str) -> Iterator[tuple[str, str]]:
    if text := _shortened(ast.get_docstring(node)):
        yield name, text
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and _is_public(child.name):
            yield from _documented(child, f"{name}.{child.name}")


def _builtin_entries() -> Iterator[tuple[str, str]]:
    for name, value in sorted(vars(builtins).items()):
        if not _is_public(name) or getattr(value, "__module__", None) != "builtins":
            continue
        if text := _shortened(inspect.cleandoc(value.__doc__ or "")):
            yield name, text
        if isinstance(value, type):
            yield from _methods(name, value)


def _methods(name: str, owner: type) -> Iterator[tuple[str, str]]:
    for method, value in sorted(vars(owner).items()):
        docstring = inspect.cleandoc(getattr(value, "__doc__", None) or "")
        if _is_public(method) and (text := _shortened(docstring)):
            yield f"{name}.{method}", text


def _shortened(docstring: str | None) -> str:
    """The docstring as one paragraph, cut at a word; "" if it is shorter than `MIN_WORDS`."""
    words = (docstring or "").split()
    if len(words) < MIN_WORDS:
        return ""
    text = " ".join(words)
    return text if len(text) <= MAX_CHARACTERS else text[: text.rindex(" ", 0, MAX_CHARACTERS)]


def _is_public(name: str) -> bool:
    return not name.startswith("_")


def _is_documented(path: Path) -> bool:
    top = path.with_suffix("").parts[0]
    return _is_public(top) and "-" not in top and SKIPPED.isdisjoint(path.parts)
