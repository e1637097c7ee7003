"""``make interop``: the adapters with the frameworks' own packages, where torch is not installed.

The environment is in the user's cache folder, beside that of `tests.contract.peers`. The table of results becomes
part of ``sidecar/adapters/README.md``.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
import tomllib
import venv
from pathlib import Path
from typing import Any

from sidecar.client import AsyncClient, IndexOptions
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.gateway.generate import filled
from sidecar.testing import FakeModel, running_server
from sidecar.values.index import TextField
from tests.contract.peers import QUIET, ROOT

PROJECT = Path(__file__).parents[2]
README = PROJECT / "sidecar" / "adapters" / "README.md"
TESTS = PROJECT / "tests" / "unit" / "sidecar" / "adapters"
ENVIRONMENT = ROOT.with_name(f"{ROOT.name}-adapters")
EXTRAS = ("langchain", "llama-index", "haystack")
TESTING = ("pytest>=8.3", "pytest-asyncio>=1.0", "pytest-timeout>=2.3", "hypothesis>=6.120")
DOCUMENTS = ("blue sky over the sea", "a red car on the road", "a car")


def main() -> None:
    """Install, run the examples and the unit tests, and write the table; fails if anything does."""
    environment = {**os.environ, **QUIET, "PYTHONPATH": str(PROJECT), "HAYSTACK_TELEMETRY_ENABLED": "False"}
    python = _made()
    rows = asyncio.run(_examples(python, environment))
    lines = [f"| {name} | {release} | {said[:200].replace('|', '/')} |\n" for name, release, said in rows]
    print("".join(lines))
    head = "| framework | release | result |\n|---|---|---|\n"
    README.write_text(filled(README.read_text(encoding="utf-8"), "adapters", [head, *lines]), encoding="utf-8")
    failed = [row for row in rows if row[-1] != "works"]
    if failed:
        raise SystemExit(f"{len(failed)} of {len(rows)} examples failed")
    # Theirs warn of their own dependencies; skips would mean that a package is missing after all.
    options = ["-q", "-p", "no:cacheprovider", "-W", "default", "--override-ini", "addopts=--import-mode=importlib"]
    said = subprocess.run(
        [python, "-m", "pytest", *options, TESTS],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    print(said.stdout)
    if said.returncode or "skipped" in said.stdout:
        raise SystemExit(f"the adapters' unit tests failed there:\n{said.stderr}")


def _made() -> Path:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = [one for extra in EXTRAS for one in project["project"]["optional-dependencies"][extra]]
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=True)
    wanted = [*project["dependency-groups"]["client"], *extras, *TESTING]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
    return python


async def _examples(python: Path, environment: dict[str, str]) -> list[list[Any]]:
    with tempfile.TemporaryDirectory() as scratch:
        engine = EmbeddedEngine(Path(scratch) / "index.sqlite")
        try:
            async with running_server(engine, [FakeModel()]) as server:
                async with AsyncClient(server.address) as client:
                    await client.setup("articles", IndexOptions(fields=(TextField("text"),)))
                    await client.feed("articles", [{"_id": str(i), "text": text} for i, text in enumerate(DOCUMENTS)])
                command = [python, PROJECT / "tests/contract/clients/adapters.py", README, server.address, DOCUMENTS[1]]
                process = await asyncio.create_subprocess_exec(
                    *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
                )
                said, errors = await process.communicate()
        finally:
            await engine.aclose()
    [line] = [line for line in said.decode().splitlines() if line.startswith("ROWS")] or [""]
    if not line:
        raise SystemExit(f"the examples could not be run:\n{said.decode()}{errors.decode()}")
    rows: list[list[Any]] = json.loads(line.removeprefix("ROWS"))
    return rows


if __name__ == "__main__":
    main()
