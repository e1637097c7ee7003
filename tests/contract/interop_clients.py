"""``make interop``: the rerank clients that people already have, from their own packages, against a running gateway.

Their environments are in the user's cache folder, beside that of `tests.contract.peers`. The table of results becomes
part of ``opensearch/connectors/README.md``.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

from sidecar import config
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.gateway.generate import README, filled
from sidecar.testing import FakeModel, running_server
from tests.contract.peers import QUIET, ROOT

HERE = Path(__file__).parent / "clients"
TABLE = Path(__file__).parents[2] / "opensearch" / "connectors" / README
PYTHONS = {
    "clients": [
        "cohere>=5",
        "litellm",
        "langchain-cohere",
        "llama-index-postprocessor-cohere-rerank",
        "llama-index-postprocessor-tei-rerank",
        "cohere-haystack",
        "huggingface-api-haystack",
    ],
    "cohere4": ["cohere>=4,<5"],
}
NODE = ["cohere-ai", "@langchain/cohere", "@langchain/core"]
QUERY = "red car"
DOCUMENTS = ["blue sky over the sea", "a red car on the road", "a car"]
ORDER = [1, 2, 0]
ALIASES = ("rerank-v3.5", "jina-reranker-v2-base-multilingual", "rerank-2.5", "Salesforce/Llama-Rank-V1")
TOKEN = "interop"


def main() -> None:
    """Make the environments, call from all of them, and write the table; fails if a client does."""
    rows = asyncio.run(_rows())
    lines = [f"| {one['client']} | {one['version']} | {one['call']} | {_said(one)} |\n" for one in rows]
    print("".join(lines))
    text = TABLE.read_text(encoding="utf-8")
    head = "| client | release | call | result |\n|---|---|---|---|\n"
    TABLE.write_text(filled(text, "clients", [head, *lines]), encoding="utf-8")
    failed = [one for one in rows if not _said(one).startswith("works")]
    if failed:
        raise SystemExit(f"{len(failed)} of {len(rows)} calls failed")


def _said(row: dict[str, Any]) -> str:
    if row["answer"] == ORDER:
        return "works"
    if isinstance(row["answer"], str) and row["answer"].startswith("model 'unknown' is not served"):
        return "works: its own error with the reason"
    return " ".join(str(row["answer"]).split())[:200].replace("|", "/")


async def _rows() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as scratch:
        engine = EmbeddedEngine(Path(scratch) / "index.sqlite")
        settings = config.Settings(gateway=config.Gateway(port=0), aliases=dict.fromkeys(ALIASES, "fake"), token=TOKEN)
        try:
            async with running_server(engine, [FakeModel()], settings=settings) as server:
                url = server.sidecar.gateway_url
                return await asyncio.to_thread(lambda: [*_python(url), *_javascript(url)])
        finally:
            await engine.aclose()


def _python(url: str) -> list[dict[str, Any]]:
    rows = []
    for name, requirements in PYTHONS.items():
        folder = ROOT.with_name(f"{ROOT.name}-{name}")
        python = folder / "bin" / "python"
        if not (folder / "complete").exists():
            venv.create(folder, with_pip=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
            (folder / "complete").touch()
        rows += _run([python, HERE / "python_clients.py"], url)
    return rows


def _javascript(url: str) -> list[dict[str, Any]]:
    if not shutil.which("npm"):
        print("no npm: the JavaScript clients are left out", file=sys.stderr)
        return []
    folder = ROOT.with_name(f"{ROOT.name}-node")
    folder.mkdir(parents=True, exist_ok=True)
    if not all((folder / "node_modules" / name).exists() for name in NODE):
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--ignore-scripts", *NODE], check=True, cwd=folder)
    shutil.copy(HERE / "node_clients.mjs", folder)
    return _run(["node", folder / "node_clients.mjs"], url)


def _run(program: list[str | Path], url: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [*program, url, TOKEN, QUERY, json.dumps(DOCUMENTS)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={**os.environ, **QUIET, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "HAYSTACK_TELEMETRY_ENABLED": "False"},
    )
    rows = [line for line in done.stdout.splitlines() if line.startswith("ROWS")]
    if done.returncode or not rows:
        raise RuntimeError(f"{program[-1]} failed:\n{done.stdout}{done.stderr}")
    found: list[dict[str, Any]] = json.loads(rows[-1].removeprefix("ROWS"))
    return found


if __name__ == "__main__":
    main()
