"""`cherche serve` as a process: it says where it listens, answers who has the token, and drains."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHERCHE = [sys.executable, "-m", "sidecar.cli"]
TOKEN = "a token that only the test knows"


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHERCHE_")}
    return {**kept, **more}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("serve")
    (path / "token").write_text(TOKEN)
    (path / "corpus.jsonl").write_text('{"_id": "1", "title": "Ducks", "text": "ducks swim"}\n')
    return path


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [*CHERCHE, "serve", "--port", "0", "--metrics-port", "0", "--token-file", str(folder / "token")]
    env = environment(CHERCHE_EMBEDDED__PATH=str(folder / "index.sqlite"))
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    try:
        yield process, line_with("serving", process)["address"]
    finally:
        process.kill()
        process.communicate()


def line_with(event: str, process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stderr is not None
    for line in process.stderr:
        record: dict[str, Any] = json.loads(line)
        if record["event"] == event:
            return record
    raise AssertionError(f"the server ended without saying {event!r}")


def cherche(address: str, *arguments: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    command = [*CHERCHE, *arguments, "--server", address, "--json"]
    return subprocess.run(command, env=environment(CHERCHE_TOKEN=token), capture_output=True, text=True, check=False)


def test_it_answers_who_has_the_token_and_drains_when_told(
    server: tuple[subprocess.Popen[str], str], folder: Path
) -> None:
    process, address = server
    refused = cherche(address, "models", "list", token="another")
    assert refused.returncode == 1
    assert json.loads(refused.stderr)["error"]["code"] == "UNAUTHENTICATED"
    assert TOKEN not in refused.stderr

    assert json.loads(cherche(address, "models", "list").stdout)["models"][0]["state"] == "READY"
    assert cherche(address, "setup", "articles").returncode == 0
    assert json.loads(cherche(address, "feed", "articles", str(folder / "corpus.jsonl")).stdout)["encoded"] == 1
    page = json.loads(cherche(address, "search", "articles", "do ducks swim", "--rerank").stdout)
    assert page["hits"][0]["id"] == "1"
    assert page["rerank"]["status"] == "APPLIED"

    process.send_signal(signal.SIGTERM)
    assert line_with("stopped", process)
    assert process.wait(30) == 0
    assert cherche(address, "models", "list").returncode == 3


def test_beyond_loopback_it_refuses_to_start_unprotected(tmp_path: Path) -> None:
    env = environment(CHERCHE_EMBEDDED__PATH=str(tmp_path / "index.sqlite"))
    command = [*CHERCHE, "serve", "--host", "0.0.0.0", "--port", "0", "--metrics-port", "-1"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "insecure" in done.stderr
