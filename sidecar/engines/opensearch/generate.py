"""Write the JSON that people read and PUT: ``python -m sidecar.engines.opensearch.generate DIR``."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from sidecar.engines.opensearch.mapping import PROPERTIES, creation
from sidecar.values.documents import SEISMIC, SPARSE_VECTOR, WEIGHTS
from sidecar.values.index import Fingerprint, IndexMeta, TextField

_EXAMPLE = IndexMeta(
    model="cherche-small",
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
        "elasticsearch-sparse-vector.json": _with_sparse_vector(_body(lean_recovery=False)),
        "opensearch-seismic.json": _body(lean_recovery=False, meta=replace(_EXAMPLE, naming="id", weights=SEISMIC)),
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


def _body(*, lean_recovery: bool, meta: IndexMeta = _EXAMPLE) -> dict[str, Any]:
    body = creation("example", meta, lean_recovery=lean_recovery).body
    if not isinstance(body, dict):
        raise TypeError("a creation request has a JSON body")
    return body


def _with_sparse_vector(body: dict[str, Any]) -> dict[str, Any]:
    """The same index with the weights in a ``sparse_vector`` field; each query turns pruning off."""
    mappings = body["mappings"]
    properties = {**mappings["properties"], WEIGHTS: {"type": SPARSE_VECTOR}}
    return {**body, "mappings": {**mappings, "properties": properties}}


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
