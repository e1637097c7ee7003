"""Write the JSON and the tables of dialects in opensearch/connectors: ``python -m sidecar.gateway.generate DIR``."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from sidecar.gateway.body import RequestBody, Row, Treatment
from sidecar.gateway.connectors import EXAMPLE
from sidecar.gateway.dialects import CONNECTORS, DIALECTS, RERANKERS

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
    kinds = "accepted | refused by name | ignored, with a warning |\n|---|---|---|---|\n"
    tables = [_fields(f"`POST {one.path}`", one.table) for one in DIALECTS if one.table]
    text = filled(text, "fields", [f"| path | {kinds}", *tables])
    rerankers = [_fields(one.name, one.body) for one in RERANKERS]
    return filled(text, "rerank fields", [f"| dialect | {kinds}", *rerankers])


def filled(text: str, what: str, lines: list[str]) -> str:
    """The text with these lines in its block of that name."""
    begin = f"<!-- {what}: generated -->\n"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(_END)
    return f"{before}{begin}{''.join(lines)}{_END}{after}"


def _fields(name: str, body: type[RequestBody]) -> str:
    rows = list(body.rows())

    def column(treatment: Treatment, *, reason: bool) -> str:
        return "; ".join(_field(row, reason=reason) for row in rows if row.treatment == treatment) or "–"

    accepted, refused = column("accepted", reason=False), column("refused", reason=True)
    return f"| {name} | {accepted} | {refused} | {column('ignored', reason=True)} |\n"


def _field(row: Row, *, reason: bool) -> str:
    names = " or ".join(f"`{name}`" for name in (row.name, *row.others))
    return f"{names} ({row.note})" if reason else names


def generate(folder: Path) -> None:
    """Write all files into `folder`."""
    table = folder / README
    table.write_text(readme(table.read_text(encoding="utf-8")), encoding="utf-8")
    for name, content in files().items():
        (folder / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
