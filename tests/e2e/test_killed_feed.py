"""A feed that is killed is resumed by running it again, and nothing tells the index apart."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sidecar.demo.corpus import standard_library
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.errors import ChercheError

DOCUMENTS = 600
# The whole program, in one process with engine and sidecar; only the model is a fake, and slow enough to be caught.
PROGRAM = """
import sidecar.models.library
from sidecar.testing import FakeModel
sidecar.models.library.load_model = lambda *_, **__: FakeModel(name="cherche-small", latency=0.1)
from sidecar.cli import main
main()
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents as a feed has them."""
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    entries = standard_library()[:DOCUMENTS]
    lines = [json.dumps({"_id": entry.id, **json.loads(entry.to_bytes())}) for entry in entries]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def command(folder: Path, *arguments: str) -> tuple[list[str], dict[str, str]]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHERCHE_")}
    folder.mkdir(exist_ok=True)
    environment = {**kept, "CHERCHE_EMBEDDED__PATH": str(folder / "index.sqlite")}
    return [sys.executable, "-c", PROGRAM, *arguments], environment


def run(folder: Path, *arguments: str) -> str:
    line, environment = command(folder, *arguments)
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=True).stdout


def feed(folder: Path, corpus: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads(run(folder, "feed", "articles", str(corpus), "--json"))
    return summary


def kill_once_stored(folder: Path, corpus: Path, documents: int) -> None:
    """Start a feed, and kill it without notice as soon as so many documents are stored."""
    line, environment = command(folder, "feed", "articles", str(corpus))
    process = subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while asyncio.run(stored(folder)) < documents:
            assert process.poll() is None, "the feed ended before it could be killed"
            assert time.monotonic() < deadline
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL


async def stored(folder: Path) -> int:
    engine = EmbeddedEngine(folder / "index.sqlite")
    try:
        return (await engine.stats("articles")).encoded
    except ChercheError:
        return 0
    finally:
        await engine.aclose()


def test_a_feed_killed_three_times_ends_like_one_that_was_not(corpus: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        run(folder, "setup", "articles")
    assert feed(whole, corpus)["encoded"] == DOCUMENTS

    points = sorted(random.sample(range(1, DOCUMENTS - 150), 3))
    for point in points:
        kill_once_stored(killed, corpus, point)
    resumed = feed(killed, corpus)

    assert resumed["unchanged"] >= points[-1], points
    assert resumed["unchanged"] + resumed["encoded"] == DOCUMENTS
    assert run(killed, "dump", "articles") == run(whole, "dump", "articles")
    assert feed(killed, corpus)["unchanged"] == DOCUMENTS
