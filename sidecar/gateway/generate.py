"""Write the JSON and the table of dialects in opensearch/connectors: ``python -m sidecar.gateway.generate DIR``."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from sidecar.gateway.connectors import EXAMPLE
from sidecar.gateway.dialects import CONNECTORS, DIALECTS

README = "README.md"
_BEGIN, _END = "<!-- dialects: generated -->\n", "<!-- end -->\n"


def files() -> dict[str, str]:
    """File name → content, for a gateway at `EXAMPLE`."""
    return {
        connector.file: json.dumps([asdict(request) for request in connector.requests(EXAMPLE, "")], indent=2) + "\n"
        for connector in CONNECTORS
    }


def readme(text: str) -> str:
    """The README with its table of dialects as the code has them."""
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    rows = [f"| `POST {one.path}` | {one.callers} | `{one.example}` |\n" for one in DIALECTS]
    return f"{before}{_BEGIN}| path | callers | answer |\n|---|---|---|\n{''.join(rows)}{_END}{after}"


def generate(folder: Path) -> None:
    """Write all files into `folder`."""
    table = folder / README
    table.write_text(readme(table.read_text(encoding="utf-8")), encoding="utf-8")
    for name, content in files().items():
        (folder / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
