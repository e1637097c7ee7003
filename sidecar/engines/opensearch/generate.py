"""Write the JSON that people read and PUT: ``python -m sidecar.engines.opensearch.generate DIR``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from sidecar.engines.opensearch.mapping import PROPERTIES, creation
from sidecar.types import Fingerprint, IndexMeta, TextField

_EXAMPLE = IndexMeta(
    model="cherche-tiny",
    fingerprint=Fingerprint("<sha256 of the model: `cherche models --json` prints it>"),
    fields=(TextField("title"), TextField("text")),
    max_length=256,
)


def mappings() -> dict[str, dict[str, Any]]:
    """File name → what it holds."""
    return {
        "index.json": _body(lean_recovery=False),
        "index-segment-replication.json": {
            "settings": {"index.replication.type": "SEGMENT"},
            **_body(lean_recovery=True),
        },
        "additions.json": {"properties": dict(PROPERTIES)},
    }


def written(content: dict[str, Any]) -> str:
    """The text of a file."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def generate(folder: Path) -> None:
    """Write all files into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in mappings().items():
        (folder / name).write_text(written(content), encoding="utf-8")


def _body(*, lean_recovery: bool) -> dict[str, Any]:
    body = creation("example", _EXAMPLE, lean_recovery=lean_recovery).body
    if not isinstance(body, dict):
        raise TypeError("a creation request has a JSON body")
    return body


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
