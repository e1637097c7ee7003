"""A sidecar with a fake model, in a thread of its own, and the command line that talks to it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sidecar.cli import cherche
from sidecar.config import Settings
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.protocols import Model
from sidecar.testing import FakeModel, running_server


@contextmanager
def serving(folder: Path, models: Sequence[Model], settings: Settings | None = None) -> Iterator[str]:
    """The address of a sidecar that runs as long as the block."""
    loop, started, address = asyncio.new_event_loop(), threading.Event(), ""
    stop: asyncio.Event | None = None

    async def run() -> None:
        nonlocal address, stop
        stop = asyncio.Event()
        engine = EmbeddedEngine(folder / "index.sqlite")
        try:
            async with running_server(engine, models, settings=settings) as server:
                address = server.address
                started.set()
                await stop.wait()
        finally:
            started.set()
            await engine.aclose()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    started.wait()
    try:
        yield address
    finally:
        if stop is not None:
            loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@dataclass
class Command:
    """Runs `cherche` against one sidecar."""

    address: str
    folder: Path
    model: FakeModel = field(default_factory=FakeModel)

    def __call__(self, *arguments: str, code: int = 0, stdin: bytes | None = None) -> Result:
        result = CliRunner().invoke(
            cherche, [*arguments, "--server", self.address], input=stdin, catch_exceptions=False
        )
        assert result.exit_code == code, f"{arguments}: {result.exit_code}\n{result.output}"
        return result

    def json(self, *arguments: str, code: int = 0, stdin: bytes | None = None) -> Any:
        return json.loads(self(*arguments, "--json", code=code, stdin=stdin).stdout)

    def write(self, name: str, lines: Sequence[bytes | dict[str, Any]]) -> str:
        path = self.folder / name
        encoded = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
        path.write_bytes(b"\n".join(encoded) + b"\n")
        return str(path)


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    """The command line beside a sidecar that serves a `FakeModel`."""
    model = FakeModel(synonyms={"heart": "cardiac"})
    with serving(tmp_path, [model]) as address:
        yield Command(address, tmp_path, model)


@pytest.fixture
def articles(command: Command) -> Command:
    """The same, with an index of three documents."""
    documents = [
        {"_id": "1", "title": "Aspirin", "text": "aspirin prevents stroke"},
        {"_id": "2", "title": "Ducks", "text": "ducks swim on the pond"},
        {"_id": "3", "title": "Cardiac care", "text": "cardiac patients need care"},
    ]
    command("setup", "articles")
    command("feed", "articles", command.write("corpus.jsonl", documents))
    return command


def judged(command: Command) -> list[str]:
    """Options that name two queries and their judgements; only the synonym finds the second one's document."""
    queries = command.write("queries.jsonl", [{"_id": "q1", "text": "aspirin"}, {"_id": "q2", "text": "heart"}])
    qrels = command.folder / "qrels.tsv"
    qrels.write_text("query-id\tcorpus-id\tscore\nq1\t1\t1\nq2\t3\t1\n")
    return ["--queries", queries, "--qrels", str(qrels)]


def judged_beyond(command: Command) -> list[str]:
    """The same with four more judged documents, which no index holds."""
    options = judged(command)
    with open(options[-1], "a") as qrels:
        qrels.writelines(f"q1\tgone{i}\t1\n" for i in range(4))
    return options
