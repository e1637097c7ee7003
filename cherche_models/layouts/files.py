"""Small files of a checkpoint; without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cherche_models.errors import CheckpointError


def read_json(path: Path) -> dict[str, Any]:
    """An object from a JSON file; empty if there is no such file.

    Raises
    ------
    CheckpointError
        If the file holds anything else.
    """
    found = _read(path)
    if not isinstance(found, dict | None):
        raise CheckpointError(f"{path} holds no JSON object", "restore it from the checkpoint's source")
    return found or {}


def read_list(path: Path) -> list[dict[str, Any]]:
    """A list of objects from a JSON file; empty if there is no such file.

    Raises
    ------
    CheckpointError
        If the file holds anything else.
    """
    found = _read(path)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise CheckpointError(f"{path} holds no list of JSON objects", "restore it from the checkpoint's source")
    return found


def write_json(path: Path, value: object) -> None:
    """Write JSON for people and machines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _read(path: Path) -> object:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: {error}", "restore it from the checkpoint's source") from error
