"""The page that adds neural search to a running cluster, run as it is written, on a real one."""

from __future__ import annotations

import doctest
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.e2e import test_readme as blocks

PAGE = blocks.ROOT / "sidecar" / "docs" / "ten-minutes.md"

pytestmark = [pytest.mark.java, pytest.mark.timeout(900)]


def test_every_block_does_what_it_says(opensearch_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = {"CHERCHE_ENGINE": "opensearch", "CHERCHE_URL": opensearch_url}
    clean = blocks.environment
    monkeypatch.setattr(blocks, "environment", lambda folder: clean(folder) | cluster)
    try:
        for step in blocks.steps(PAGE.read_text(encoding="utf-8")):
            done = blocks.run(step, tmp_path)
            where = f"{PAGE.name}:{step.line}: {step.source}"
            assert done.returncode == 0, f"{where}\n{done.stdout}{done.stderr}"
            if step.expected:
                expected = step.expected.replace("…", "...")
                assert doctest.OutputChecker().check_output(expected, done.stdout, blocks.FLAGS), (
                    f"{where}\n{done.stdout}"
                )
    finally:
        urlopen(Request(f"{opensearch_url}/articles", method="DELETE"), timeout=60).close()
