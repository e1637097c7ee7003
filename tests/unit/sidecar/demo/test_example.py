"""The example index: set up, given pipelines and filled by bulk requests, on a cluster with the answers of a test."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sidecar.demo import example
from sidecar.demo.corpus import Entry
from sidecar.errors import ChercheError

PIPELINES = Path(__file__).parents[4] / "opensearch" / "pipelines"


class Cluster:
    """Notes what it is sent; refuses documents whose id the test names."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, str, bytes]] = []
        self.refused: set[str] = set()
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.requests.append((self.command, self.path, self.headers["content-type"], body))
                said = json.dumps(outer.answer(self.path, body)).encode()
                self.send_response(outer.status)
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_PUT = do_POST = answer  # names of http.server

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, path: str, body: bytes) -> Any:
        if "_bulk" not in path:
            return {"acknowledged": True}
        ids = [json.loads(line)["index"]["_id"] for line in body.splitlines()[::2]]
        error = {"error": {"reason": "no room"}}
        return {"items": [{"index": {"_id": id, **(error if id in self.refused else {})}} for id in ids]}


@contextmanager
def answering() -> Iterator[Cluster]:
    """A cluster as long as the block."""
    made = Cluster()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
        thread.join()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with answering() as made:
        yield made


def entries(count: int) -> list[Entry]:
    return [Entry(f"os.name{number}", f"text {number}") for number in range(count)]


def test_the_pipelines_are_those_of_the_folder_and_defaults_of_the_index() -> None:
    sent = {f"{method} {path}": json.loads(body) for method, path, body in example.requests(PIPELINES)}
    assert sent["PUT /_ingest/pipeline/cherche"] == json.loads((PIPELINES / "ingest.json").read_text())
    assert sent["PUT /_search/pipeline/cherche"] == json.loads((PIPELINES / "search.json").read_text())
    assert sent["PUT /python/_settings"] == {
        "index.default_pipeline": "cherche",
        "index.search.default_pipeline": "cherche",
    }


def test_documents_go_in_by_bulk_as_any_client_sends_them(cluster: Cluster) -> None:
    cluster.refused = {"os.name3"}
    counts = list(example.feed(cluster.url, entries(example.BATCH + 5)))
    assert counts == [(example.BATCH, 1), (example.BATCH + 5, 1)]
    [first, _] = cluster.requests
    assert first[:3] == ("POST", "/python/_bulk?refresh=true", "application/x-ndjson")
    action, source, *_ = first[3].splitlines()
    assert json.loads(action) == {"index": {"_id": "os.name0"}}
    assert json.loads(source) == {"title": "os.name0", "text": "text 0"}


def test_a_cluster_that_takes_nothing_ends_it_with_its_reason(cluster: Cluster) -> None:
    cluster.refused = {"os.name0"}
    with pytest.raises(ChercheError, match="no document is taken: no room"):
        list(example.feed(cluster.url, entries(1)))


def test_a_refusal_and_a_cluster_that_is_not_there_are_named(cluster: Cluster) -> None:
    cluster.status = 400
    with pytest.raises(ChercheError, match=r"PUT /python/_settings: 400 .*acknowledged"):
        example.send(cluster.url, "PUT", "/python/_settings", b"{}")
    with pytest.raises(ChercheError, match="cannot be reached"):
        example.send("http://127.0.0.1:9", "PUT", "/python/_settings", b"{}")
