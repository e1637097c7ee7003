"""Docstrings of Python source files, which are parsed and neither imported nor run."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator

from cherche_models.train.corpus.base import Document
from cherche_models.train.corpus.comments import introduced
from cherche_models.train.corpus.text import lead, one_line, passages

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_PRIVATE = frozenset({"tests", "test", "testing", "conftest", "setup", "_vendor", "vendored", "externals", "idlelib"})
_UNDERLINE, _ROLE = (
    re.compile(r"^[ \t]*([-=~^])\1{2,}[ \t]*$", re.MULTILINE),
    re.compile(r":[\w:+-]+:`~?([^`<]*)[^`]*`"),
)
_FIELD = re.compile(r"^[ \t]*:(?:param|type|raises?|returns?|rtype|keyword|ivar|vartype)\b[^:\n]*:", re.MULTILINE)
_DIRECTIVE = re.compile(r"^[ \t]*\.\. [\w-]+::.*$", re.MULTILINE)
_LAST = re.compile(r"^\s*(?:References|See Also|Examples?|Doctest|Tests?)\s*(?:\n\s*-{3,}|:\s*$)", re.MULTILINE)


def documents(files: Iterable[tuple[str, str]]) -> Iterator[Document]:
    """One document a public module, class or function with a docstring; the title is its dotted name.

    Parameters
    ----------
    files : iterable of name and code
        The name is the path below the folder that is on Python's path.
    """
    for path, code in files:
        parts = path.removesuffix(".py").removesuffix("/__init__").split("/")
        if not _PRIVATE.isdisjoint(parts) or any(part.startswith("test_") for part in parts):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes
            try:
                tree = ast.parse(code)
            except (SyntaxError, ValueError):  # templates, and files of other versions
                continue
        yield from _of(tree, ".".join(part for part in parts if not part.startswith("_")))


def _of(node: Documented, name: str) -> Iterator[Document]:
    if docstring := ast.get_docstring(node):
        text = plain(docstring)
        if text:
            yield introduced(name, *lead(text))
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not child.name.startswith("_"):
            yield from _of(child, f"{name}.{child.name}")


def plain(docstring: str) -> str:
    r"""A docstring's first passage, without examples, references and markup.

    >>> plain("Quack.\n\nMakes a :func:`noise` like ``this`` one does.\n\n>>> quack()\n'q'")
    'Quack. Makes a noise like this one does.'
    """
    last = _LAST.search(docstring)
    text = docstring[: last.start()] if last else docstring
    text = _FIELD.sub("", text)
    text = _DIRECTIVE.sub("", _UNDERLINE.sub("", _ROLE.sub(r"\1", text).replace("``", "").replace("`", "")))
    kept = [part for part in re.split(r"\n\s*\n", text) if ">>>" not in part]
    return next(passages([" ".join(kept)]), one_line(" ".join(kept)))
