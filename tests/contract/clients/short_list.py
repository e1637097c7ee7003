"""What only talks to a running sidecar, where nothing but the group ``client`` of ``pyproject.toml`` is installed.

Run with the address of a sidecar, an empty folder, and packages that shall not be importable, as JSON; prints what
each call came to as one JSON object.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

DOCUMENTS = (
    {"_id": "1", "title": "Aspirin", "text": "aspirin prevents stroke"},
    {"_id": "2", "title": "Ducks", "text": "ducks swim on the pond"},
)
QUERIES = ({"_id": "q1", "text": "aspirin"}, {"_id": "q2", "text": "ducks"})
QRELS = "query-id\tcorpus-id\tscore\nq1\t1\t1\nq2\t2\t1\n"


class Refusal:
    """Makes packages unimportable."""

    def __init__(self, packages: Sequence[str]) -> None:
        self._packages = frozenset(packages)

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] in self._packages:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def commands(folder: Path) -> list[list[str]]:
    """Every verb of the CLI that needs no model of its own, on an index of two documents."""
    corpus, queries, qrels = folder / "corpus.jsonl", folder / "queries.jsonl", folder / "qrels.tsv"
    corpus.write_text("".join(f"{json.dumps(one)}\n" for one in DOCUMENTS))
    queries.write_text("".join(f"{json.dumps(one)}\n" for one in QUERIES))
    qrels.write_text(QRELS)
    judged = ["--queries", str(queries), "--qrels", str(qrels)]
    return [
        ["setup", "articles"],
        ["feed", "articles", str(corpus)],
        ["search", "articles", "aspirin", "--rerank", "--explain"],
        ["eval", "articles", *judged],
        ["tune", "articles", *judged, "--folds", "2"],
        ["compare", "articles/bm25", "articles/hybrid+rerank", *judged],
        ["doctor", "articles", "--all"],
        ["list"],
        ["backfill", "articles"],
        ["dump", "articles"],
        ["encode", "aspirin"],
        ["rerank", "aspirin", "ducks swim", "aspirin prevents"],
        ["models", "list"],
        ["config"],
        ["print-connector", "opensearch"],
        ["print-connector", "elasticsearch"],
        ["remove", "articles", "--yes"],
    ]


def main() -> None:
    """Run everything and print what came of it."""
    address, folder, refused = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    os.environ["CHERCHE_SERVER"] = address
    sys.meta_path.insert(0, Refusal(refused))
    from click.testing import CliRunner

    from sidecar.cli import VERBS, cherche
    from sidecar.client import Client

    found: dict[str, str] = {}

    def run(*arguments: str) -> None:
        done = CliRunner().invoke(cherche, arguments)
        found[" ".join(arguments[:2])] = "" if done.exit_code == 0 else f"{done.output}{done.exception!r}"

    for verb in VERBS:
        run(verb, "--help")
    for arguments in commands(folder):
        run(*arguments)

    with Client(address) as client:
        found["client"] = "" if len(client.models()) == 1 else "no model"
    del os.environ["CHERCHE_SERVER"]
    lacking = CliRunner().invoke(cherche, ["search", "articles", "aspirin"])
    says = lacking.exit_code == 1 and "--server" in lacking.stderr and "Traceback" not in lacking.stderr
    found["search without a server"] = "" if says else f"{lacking.output}{lacking.exception!r}"
    loaded = {"torch", "transformers", "tokenizers", "fastapi", "structlog"} & set(sys.modules)
    found["what is loaded"] = ", ".join(sorted(loaded))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
