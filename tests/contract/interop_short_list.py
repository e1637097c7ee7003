"""``make interop``: what talks to a running sidecar runs where the group ``client`` alone is installed.

The environment is in the user's cache folder, beside that of `tests.contract.peers`; the two packages are installed
into it as their wheel, without dependencies, as the page of the client says.
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

from sidecar.engines.embedded import EmbeddedEngine
from sidecar.testing import FakeModel, running_server
from tests.contract.clients import short_list
from tests.contract.peers import ROOT

PROJECT = Path(__file__).parents[2]
ENVIRONMENT = ROOT.with_name(f"{ROOT.name}-short-list")


def main() -> None:
    """Install, run, and fail where a call does."""
    group = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]["client"]
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=True)
    pip = [python, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, *group], check=True)
    subprocess.run([*pip, "--no-deps", "--force-reinstall", PROJECT], check=True)
    listed = subprocess.run([python, "-m", "pip", "freeze"], check=True, capture_output=True, text=True).stdout
    if present := {"torch", "transformers", "tokenizers"} & {line.partition("==")[0] for line in listed.splitlines()}:
        raise SystemExit(f"{ENVIRONMENT} holds {', '.join(sorted(present))}: remove that folder")
    found = asyncio.run(_called(python))
    failed = {what: said for what, said in found.items() if said}
    print(f"without torch: {len(found) - len(failed)} of {len(found)} calls work, {len(listed.splitlines())} packages")
    if failed:
        raise SystemExit("\n".join(f"{what}: {said}" for what, said in failed.items()))


async def _called(python: Path) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as scratch:
        engine = EmbeddedEngine(Path(scratch) / "index.sqlite")
        try:
            async with running_server(engine, [FakeModel()]) as server:
                command = [python, short_list.__file__, server.address, scratch, "[]"]
                clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
                process = await asyncio.create_subprocess_exec(
                    *command, cwd=scratch, env=clean, stdout=asyncio.subprocess.PIPE
                )
                said, _ = await process.communicate()
        finally:
            await engine.aclose()
    if process.returncode:
        raise SystemExit(process.returncode)
    found: dict[str, str] = json.loads(said.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
