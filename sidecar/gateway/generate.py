"""Write the JSON under opensearch/connectors: ``python -m sidecar.gateway.generate DIR``."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from sidecar.gateway.connectors import EXAMPLE
from sidecar.gateway.dialects import CONNECTORS


def files() -> dict[str, str]:
    """File name → content, for a gateway at `EXAMPLE`."""
    return {
        connector.file: json.dumps([asdict(request) for request in connector.requests(EXAMPLE, "")], indent=2) + "\n"
        for connector in CONNECTORS
    }


def generate(folder: Path) -> None:
    """Write all files into `folder`."""
    for name, content in files().items():
        (folder / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
