"""Write the JSON and the tables of dialects in opensearch/connectors: ``python -m sidecar.gateway.generate DIR``."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from sidecar.gateway.connectors import EXAMPLE
from sidecar.gateway.dialects import CONNECTORS, DIALECTS, RERANKERS
from sidecar.gateway.rerank_body import Row, Treatment
from sidecar.gateway.rerank_dialect import AnyRerankDialect

README = "README.md"
_END = "<!-- end -->\n"


def files() -> dict[str, str]:
    """File name → content, for a gateway at `EXAMPLE`."""
    return {
        connector.file: json.dumps([asdict(request) for request in connector.requests(EXAMPLE, "")], indent=2) + "\n"
        for connector in CONNECTORS
    }


def readme(text: str) -> str:
    """The README with its tables of dialects as the code has them."""
    paths = [f"| `POST {one.path}` | {one.callers} | `{one.example}` |\n" for one in DIALECTS]
    text = filled(text, "dialects", ["| path | callers | answer |\n|---|---|---|\n", *paths])
    head = "| dialect | accepted | refused by name | ignored, with a warning |\n|---|---|---|---|\n"
    return filled(text, "rerank fields", [head, *map(_fields, RERANKERS)])


def filled(text: str, what: str, lines: list[str]) -> str:
    """The text with these lines in its block of that name."""
    begin = f"<!-- {what}: generated -->\n"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(_END)
    return f"{before}{begin}{''.join(lines)}{_END}{after}"


def _fields(dialect: AnyRerankDialect) -> str:
    rows = list(dialect.body.rows())

    def column(treatment: Treatment, *, reason: bool) -> str:
        return "; ".join(_field(row, reason=reason) for row in rows if row.treatment == treatment) or "–"

    accepted, refused = column("accepted", reason=False), column("refused", reason=True)
    return f"| {dialect.name} | {accepted} | {refused} | {column('ignored', reason=True)} |\n"


def _field(row: Row, *, reason: bool) -> str:
    return f"`{row.name}` ({row.note})" if reason else f"`{row.name}`"


def generate(folder: Path) -> None:
    """Write all files into `folder`."""
    table = folder / README
    table.write_text(readme(table.read_text(encoding="utf-8")), encoding="utf-8")
    for name, content in files().items():
        (folder / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
