"""The page of the client: its example is run against a sidecar, and its table names every method."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

from sidecar.client import Client
from sidecar.testing import FakeModel
from tests.e2e import test_readme as blocks
from tests.unit.sidecar.cli.conftest import serving

PAGE = (blocks.ROOT / "sidecar" / "client" / "README.md").read_text(encoding="utf-8")


def test_the_example_does_what_it_says(tmp_path: Path) -> None:
    (step,) = blocks.steps(PAGE)
    with serving(tmp_path, [FakeModel()]) as address:
        source = step.source.replace("localhost:50551", address)
        environment = {**os.environ, "PYTHONPATH": str(blocks.ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", source], env=environment, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    fed, found, ranked, stats, failed = done.stdout.splitlines()
    assert fed.startswith("{'encoded': 2, 'failed': 1} ['document 2 has no _id and no id")
    assert found.startswith("APPLIED [(1, '1', 'Acetylsalicylic acid')")
    assert ranked == "[1, 0]"
    assert stats == "IndexStats(documents=2, encoded=2, pending=0)"
    code, reason, step_named = failed.split(" | ")
    assert code == "NOT_FOUND"
    assert "nowhere" in reason
    assert step_named


def test_every_method_is_in_the_table() -> None:
    table = "".join(line for line in PAGE.splitlines() if line.startswith("|"))
    named = set(re.findall(r"`(\w+)\(", table))
    public = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")}
    assert named == public - {"close"}
