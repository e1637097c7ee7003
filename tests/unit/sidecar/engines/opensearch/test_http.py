"""Connections to clusters that are absent, silent, or something else."""

from __future__ import annotations

import asyncio
import io
import json
import socket
from typing import Any

import pytest
import structlog
from opensearchpy.exceptions import TransportError

from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.engines.opensearch.http import Http, Request, index_path
from sidecar.errors import ChercheError, Code
from sidecar.observe import logs, telemetry
from sidecar.values.documents import StoredDocument
from sidecar.values.index import Identity


@pytest.mark.parametrize("name", ["", "*", "a,b", "_all", "-x", "a/b", "../x", "a b", "a?b", "<a-{now}>", "c:x"])
def test_a_name_reaches_one_index(name: str) -> None:
    with pytest.raises(ChercheError) as refused:
        index_path(name, "_search")
    assert refused.value.code == Code.INVALID_ARGUMENT


def test_a_name_of_another_cluster_is_refused_as_one() -> None:
    with pytest.raises(ChercheError, match="'far:books' is a name of another cluster") as refused:
        index_path("far:books", "_search")
    assert refused.value.next_step == "search it by the sidecar of that cluster"


def test_names_are_quoted() -> None:
    assert index_path("bücher%", "_doc") == "/b%C3%BCcher%25/_doc"


@pytest.mark.parametrize("url", ["cluster:9200", "ftp://cluster", "", "http://"])
def test_a_url_is_checked(url: str) -> None:
    with pytest.raises(ChercheError) as refused:
        OpenSearchEngine.connect(url)
    assert refused.value.code == Code.INVALID_ARGUMENT


async def test_a_cluster_that_is_not_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        absent = OpenSearchEngine.connect(url)
        try:
            with pytest.raises(ChercheError, match=url) as unreachable:
                await absent.info()
            assert unreachable.value.code == Code.UNAVAILABLE
            [result] = await absent.write("books", [StoredDocument("a", {}, "h", "pending")])
            assert result.error is not None
            assert result.error.code == Code.UNAVAILABLE
        finally:
            await absent.aclose()


async def test_a_cluster_that_accepts_and_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        hung = OpenSearchEngine.connect(url, timeout=0.2)
        try:
            with pytest.raises(ChercheError, match=url) as late:
                await hung.info()
            assert late.value.code == Code.DEADLINE_EXCEEDED
        finally:
            await hung.aclose()


async def test_something_that_is_no_cluster() -> None:
    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 5\r\n\r\n"
        writer.write(head.encode() + b"hello")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(page, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        wrong = OpenSearchEngine.connect(url)
        try:
            with pytest.raises(ChercheError, match="not JSON") as refused:
                await wrong.info()
            assert refused.value.code == Code.UNAVAILABLE
        finally:
            await wrong.aclose()


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
async def test_nothing_is_followed_to_another_address(status: str) -> None:
    reached: list[bytes] = []

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(await reader.readline())
        writer.close()

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline() not in (b"\r\n", b""):
            pass
        writer.write(
            f"HTTP/1.1 {status}\r\nlocation: {target}/\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".encode()
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with (
        await asyncio.start_server(elsewhere, "127.0.0.1", 0) as other,
        await asyncio.start_server(redirect, "127.0.0.1", 0) as server,
    ):
        target = f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}"
        ours = OpenSearchEngine.connect(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        try:
            with pytest.raises(ChercheError, match=rf"it redirects \({status[:3]}\)") as refused:
                await ours.info()
            assert refused.value.code == Code.UNAVAILABLE
        finally:
            await ours.aclose()
    assert reached == [], "neither credentials nor a query"


async def test_what_a_cluster_warns_of_is_logged_once_and_no_python_warning() -> None:
    said = '299 Elasticsearch-7.17.29-580aff1a "Loading the fielddata on the _id field is deprecated"'
    root = b'{"version": {"number": "7.17.29", "build_flavor": "default"}}'

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline() not in (b"\r\n", b""):
            pass
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nwarning: {said}\r\nconnection: close\r\n"
        writer.write(f"{head}content-length: {len(root)}\r\n\r\n".encode() + root)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        ours = OpenSearchEngine.connect(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        logs.configure(stream=(written := io.StringIO()))
        try:
            for _ in range(3):
                await ours._http.send(Request("GET", "/"), what="cluster")
        finally:
            structlog.reset_defaults()
            await ours.aclose()
    [line] = map(json.loads, written.getvalue().splitlines())
    assert (line["level"], line["reason"]) == ("warning", "Loading the fielddata on the _id field is deprecated")


async def test_requests_are_spans_and_carry_their_trace() -> None:
    pytest.importorskip("opentelemetry.sdk", reason="OpenTelemetry's SDK, of the extra otel, is not installed")
    from tests.recorded import Recorded

    class Answering:
        def __init__(self) -> None:
            self.headers: dict[str, Any] = {}

        async def perform_request(self, method: str, url: str, **options: Any) -> Any:
            self.headers = options["headers"]
            if "broken" in url:
                raise TransportError(503, "overloaded", {})
            return {}

        async def close(self) -> None: ...

    transport, recorded = Answering(), Recorded()
    http = Http(transport, "http://cluster:9200", Identity("Basic secret"), 1.0, {"db.system.name": "opensearch"})
    try:
        await http.send(Request("POST", "/articles/_search", {"query": {"match": {"a": "secret"}}}), what="index")
        sent = transport.headers["traceparent"]
        with pytest.raises(ChercheError):
            await http.send(Request("POST", "/broken/_bulk", b"{}"), what="index")
    finally:
        telemetry.off()
    search, bulk = recorded.spans["search articles"], recorded.spans["bulk broken"]
    assert sent.startswith(f"00-{search.context.trace_id:032x}-{search.context.span_id:016x}-")
    assert dict(search.attributes) == {
        "db.system.name": "opensearch",
        "db.operation.name": "search",
        "db.collection.name": "articles",
        "http.request.method": "POST",
    }
    assert bulk.attributes["db.response.status_code"] == bulk.attributes["error.type"] == "503"
    assert "secret" not in search.to_json()
