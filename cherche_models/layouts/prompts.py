"""Prompts in ``config_sentence_transformers.json``: which of them queries and documents begin with."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

from cherche_models.cutting import Kind
from cherche_models.errors import CheckpointError
from cherche_models.layouts.files import read_json

FILE = "config_sentence_transformers.json"
_NAMES: dict[Kind, tuple[str, ...]] = {"query": ("query",), "document": ("document", "passage", "corpus")}
"""In the order in which sentence-transformers looks for them (`encode_query`, `encode_document`)."""


def by_kind(folder: Path) -> dict[Kind, str]:
    """The prompt of each kind of text: that of its name, else the default one, else none.

    Warns of prompts where none is read: their names are others.

    Raises
    ------
    CheckpointError
        As `default`.
    """
    known, fallback = _named(folder), default(folder)
    found = {kind: next((name for name in names if name in known), None) for kind, names in _NAMES.items()}
    written = [name for name, prompt in known.items() if prompt]
    if written and not fallback and not any(found.values()):
        warnings.warn(
            f"{folder / FILE}: none of the prompts {', '.join(map(repr, written))} is used: queries begin with the one "
            "named 'query', documents with 'document', 'passage' or 'corpus', else with that of default_prompt_name",
            stacklevel=2,
        )
    return {kind: fallback if name is None else known[name] for kind, name in found.items()}


def default(folder: Path) -> str:
    """The prompt that ``default_prompt_name`` names; "" without.

    Raises
    ------
    CheckpointError
        If it names none, or prompts are no strings.
    """
    known = _named(folder)
    name = read_json(folder / FILE).get("default_prompt_name")
    if name is None:
        return ""
    if not isinstance(name, str) or name not in known:
        names = ", ".join(map(repr, known)) or "none"
        raise CheckpointError(
            f"{folder / FILE}: default_prompt_name is {name!r}, which is no prompt; there are: {names}",
            "name one of them, add it to prompts, or leave the name out",
        )
    return known[name]


def _named(folder: Path) -> Mapping[str, str]:
    prompts = read_json(folder / FILE).get("prompts")
    if prompts is None:
        return {}
    if not isinstance(prompts, dict):
        raise CheckpointError(f"{folder / FILE}: prompts is {prompts!r}", "give an object of names and texts")
    odd = next((name for name, prompt in prompts.items() if not isinstance(prompt, str | None)), None)
    if odd is not None:
        raise CheckpointError(f"{folder / FILE}: the prompt {odd!r} is {prompts[odd]!r}", "give a text")
    return {name: prompt or "" for name, prompt in prompts.items()}
