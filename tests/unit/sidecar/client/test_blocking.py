"""The client that waits: from a plain program, from several threads, and beside a running event loop."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sidecar.client import AsyncClient, ChercheError, Client, FeedReport, blocking
from sidecar.testing import FakeModel
from tests.unit.sidecar.cli.conftest import serving


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with serving(tmp_path, [FakeModel()]) as address, Client(address) as client:
        client.setup("articles")
        yield client


def documents(count: int) -> list[dict[str, Any]]:
    return [{"_id": str(i), "title": "Ducks", "text": f"duck number {i}"} for i in range(count)]


def test_it_has_the_methods_of_the_other() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        public = [(name, one) for name, one in inspect.getmembers(kind, callable) if not name.startswith("_")]
        return {name: list(inspect.signature(one).parameters) for name, one in public}

    theirs = methods(AsyncClient)
    theirs["close"] = theirs.pop("aclose")
    assert methods(Client) == theirs
    assert inspect.signature(Client).parameters.keys() == inspect.signature(AsyncClient).parameters.keys()


def test_all_of_it_waits(client: Client) -> None:
    assert client.is_ready()
    assert client.feed("articles", documents(3)) == FeedReport(3, {"encoded": 3})
    assert client.feed("articles", []) == FeedReport()
    assert [hit.id for hit in client.search("articles", "number 2", rerank=True, size=1).hits] == ["2"]
    assert client.explain("articles", "number 2", ids=["2"])[1][0].id == "2"
    assert [len(page.hits) for page in client.pages("articles", "duck", size=2)][:2] == [2, 1]
    assert len(client.encode(["duck"]).items[0].weights or {}) == 1
    assert client.rerank("duck", ["sea", "duck"]).scores[0].index == 1
    assert client.index("articles").stats.documents == 3
    assert [model.name for model in client.models()] == ["fake"]


def test_a_feed_is_read_in_the_callers_thread_and_its_documents_keep_their_numbers(client: Client) -> None:
    threads = set()

    def read() -> Iterator[dict[str, Any]]:
        for document in [*documents(blocking._PART), {"text": "no id"}, {"_id": "last", "text": "a duck at last"}]:
            threads.add(threading.get_ident())
            yield document

    report = client.feed("articles", read())
    assert threads == {threading.get_ident()}
    assert report.outcomes == {"encoded": blocking._PART + 1, "failed": 1}
    assert [one.error.reason for one in report.failures if one.error] == [
        f"document {blocking._PART} has no _id and no id"
    ]
    assert client.search("articles", "last").hits[0].id == "last"


def test_threads_share_one(client: Client) -> None:
    client.feed("articles", documents(8))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: client.search("articles", f"number {i}", rerank=True).hits[0].id, range(8)))
    assert found == [str(i) for i in range(8)]


async def test_it_waits_where_a_loop_runs_already(tmp_path: Path) -> None:
    with serving(tmp_path, [FakeModel()]) as address, Client(address) as client:
        assert client.is_ready()


def test_a_closed_one_says_so_and_leaves_no_thread(client: Client) -> None:
    other = Client("127.0.0.1:1")
    other.close()
    other.close()
    with pytest.raises(ChercheError, match="closed"):
        other.is_ready()
    with pytest.raises(ChercheError, match="plain text"):
        Client("sidecar:50551", token="s3cret")
    assert [thread.name for thread in threading.enumerate()].count("cherche-client") == 1


def test_a_client_of_the_environment(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ChercheError, match="no sidecar is named"):
        Client.from_environment()
    monkeypatch.setenv("CHERCHE_SERVER", "127.0.0.1:1")
    Client.from_environment().close()
