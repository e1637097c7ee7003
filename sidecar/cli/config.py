"""``cherche config``: the settings in force, and where each comes from."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from sidecar import config as settings
from sidecar.cli.output import table
from sidecar.cli.session import Session, verb
from sidecar.config import keys


@verb("config", connects=False)
@click.option("--describe", is_flag=True, help="Also print what each setting means.")
def config(session: Session, describe: bool) -> None:
    """Print the settings in force and where they come from.

    Flags win over CHERCHE_* variables, those over cherche.toml, that over defaults. Secrets are
    masked; they are read from variables and files only.
    """
    rows = effective(settings.shown(settings.load()))
    meanings = dict(keys())
    if describe:
        rows = [{**row, "meaning": meanings[row["key"]]} for row in rows]
    columns = tuple(rows[0])
    session.output.data(
        {row["key"]: {name: row[name] for name in columns if name != "key"} for row in rows},
        lambda: table(columns, [[row[name] for name in columns] for row in rows]),
    )


def effective(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Key, value, origin and variable of every setting."""
    file = _file()
    return [
        {
            "key": key,
            "value": _lookup(values, key),
            "origin": origin(key, file, os.environ),
            "variable": settings.variable(key),
        }
        for key, _ in keys()
    ]


def origin(key: str, file: Mapping[str, Any], environment: Mapping[str, str]) -> str:
    """``environment``, ``file`` or ``default``.

    >>> origin("limits.items", {}, {"CHERCHE_LIMITS__ITEMS": "1"})
    'environment'
    >>> origin("port", {"port": 1}, {})
    'file'
    """
    name = settings.variable(key)
    section = settings.variable(key.partition(".")[0])
    if any(environment.get(variable) and variable in (name, section) for variable in environment):
        return "environment"
    if any(variable.startswith(f"{name}__") for variable in environment):
        return "environment"
    return "default" if _lookup(file, key) is None else "file"


def _file() -> Mapping[str, Any]:
    path = Path(os.environ.get(settings.CONFIG_VARIABLE) or settings.FILE)
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _lookup(values: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401  # whatever TOML holds
    for part in key.split("."):
        if not isinstance(values, Mapping) or part not in values:
            return None
        values = values[part]
    return values
