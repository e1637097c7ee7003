"""Who may call the gateway, what one body may cost, and how long a connection may wait."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from sidecar import config
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.errors import ChercheError, Code
from sidecar.gateway.access import AccessMiddleware
from sidecar.gateway.server import metrics_port
from sidecar.observe.metrics import Metrics
from sidecar.serve import running
from sidecar.testing import FakeModel
from tests.integration.gateway.conftest import Http, Serve, fake_model, problem
from tests.integration.rpc.conftest import until

PATH = "/opensearch/v1/sparse"
MANY = b"1," * 100_000 + b"1]"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PATH, b'{"input":[' + MANY + b"}"),
        (PATH, b"[" + MANY),
        ("/v1/rerank", b'{"query":"q","documents":[' + MANY + b"}"),
        ("/rerank", b'{"query":"q","texts":[' + MANY + b"}"),
        (PATH, b'{"unknown":[' + b"[]," * 100_000 + b"1]}"),
    ],
    ids=["input", "root", "documents", "texts", "unknown"],
)
async def test_many_values_are_refused_before_they_are_made(
    http: Http, path: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[int] = []
    answer = AccessMiddleware._answer  # what parses comes after it

    async def recorded(self: AccessMiddleware, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        parsed.append(len(body))
        await answer(self, scope, body, receive, send)

    monkeypatch.setattr(AccessMiddleware, "_answer", recorded)
    got = await http(path, body)
    assert problem(got) == (413, "INVALID_ARGUMENT")
    assert "32,768 JSON values" in got.json["reason"]
    assert not parsed
    few = json.dumps({"input": ["a"]}).encode()
    assert (await http(PATH, few)).status == 200
    assert parsed == [len(few)]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PATH, {"input": [1] * 2000}),
        ("/es/elser", {"inputs": [1] * 2000}),
        ("/embed_sparse", {"inputs": [1] * 2000}),
        ("/v1/rerank", {"query": "q", "documents": [1] * 2000}),
        ("/v1/rerank", {"query": "q", "documents": [{"image": "a"}] * 2000}),
        ("/rerank", {"query": "q", "texts": [1] * 2000}),
        ("/v1/multivector", {"input": [1] * 2000}),
    ],
)
async def test_the_first_wrong_value_ends_validation(http: Http, path: str, body: object) -> None:
    got = await http(path, body)
    assert problem(got) == (422, "INVALID_ARGUMENT")
    assert len(got.json["items"]) == 1
    assert "[0]" in got.json["reason"]


async def test_a_body_is_utf_8(http: Http) -> None:
    """What is counted must be what is parsed."""
    got = await http(PATH, '{"input":["a"]}'.encode("utf-16"))
    assert problem(got) == (400, "INVALID_ARGUMENT")
    assert "UTF-8" in got.json["reason"]


async def test_deep_json_is_the_callers_fault(http: Http) -> None:
    got = await http(PATH, b'{"input":' + b"[" * 20_000 + b"]" * 20_000 + b"}")
    assert problem(got) == (400, "INVALID_ARGUMENT")


async def test_a_body_limit_of_its_own(serve: Serve) -> None:
    async with serve(fake_model(), gateway=config.Gateway(port=0, body_bytes=2048)) as http:
        got = await http(PATH, {"input": ["a " * 2000]})
        assert problem(got) == (413, "INVALID_ARGUMENT")
        assert "CHERCHE_GATEWAY__BODY_BYTES" in got.json["next_step"]


async def test_a_compressed_body_is_read_and_bounded(serve: Serve) -> None:
    body = json.dumps({"input": ["a"]}).encode()
    async with serve(fake_model(), gateway=config.Gateway(port=0, body_bytes=1 << 20)) as http:
        plain = await http(PATH, body)
        for packed in (gzip.compress(body), gzip.compress(body[:5]) + gzip.compress(body[5:])):
            assert (await http(PATH, packed, content_encoding="gzip")).json == plain.json
        bomb = gzip.compress(b" " * (1 << 28) + body)
        assert len(bomb) < 1 << 20
        assert problem(await http(PATH, bomb, content_encoding="gzip")) == (413, "INVALID_ARGUMENT")
        for broken in (body, gzip.compress(body)[:-9], b"\x1f\x8b"):
            got = await http(PATH, broken, content_encoding="gzip")
            assert problem(got) == (400, "INVALID_ARGUMENT")
            assert "gzip" in got.json["reason"]
        assert problem(await http(PATH, body, content_encoding="br")) == (415, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json"]
)
async def test_what_a_web_page_may_send_is_refused(http: Http, kind: str) -> None:
    got = await http(PATH, {"input": ["a"]}, content_type=kind)
    assert problem(got) == (415, "INVALID_ARGUMENT")
    assert "content-type: application/json" in got.json["next_step"]


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json"])
async def test_json_is_json_in_any_spelling(http: Http, kind: str) -> None:
    assert (await http(PATH, {"input": ["a"]}, content_type=kind)).status == 200


async def test_no_other_site_may_read_an_answer(http: Http) -> None:
    asked = {"origin": "http://evil.example", "access_control_request_method": "POST"}
    preflight = await http(PATH, b"", "OPTIONS", **asked)
    assert problem(preflight)[0] == 405
    got = await http(PATH, {"input": ["a"]}, origin="http://evil.example")
    assert not {name for one in (preflight, got) for name in one.headers if name.startswith("access-control")}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:1", 200),
        ("LOCALHOST", 200),
        ("[::1]:50552", 200),
        ("10.0.0.7", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example:80", 403),
        ("localhost.evil.example", 403),
        ("", 403),
    ],
)
async def test_a_page_cannot_give_a_loopback_gateway_its_own_name(http: Http, host: str, status: int) -> None:
    connection = http.connect()

    def ask() -> tuple[int, bytes]:
        connection.putrequest("POST", PATH, skip_host=True)
        body = json.dumps({"input": ["a"]}).encode()
        for name, value in {"host": host, "content-type": "application/json", "content-length": str(len(body))}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read()

    with closing(connection):
        got, body = await asyncio.to_thread(ask)
    assert got == status
    if status == 403:
        assert "CHERCHE_GATEWAY__HOSTS" in json.loads(body)["next_step"]


async def test_hosts_are_those_that_are_named(serve: Serve) -> None:
    async with serve(fake_model(), gateway=config.Gateway(port=0, hosts=("search.example",))) as http:
        assert (await http.get("/healthz", host="search.example:443")).status == 200
        assert (await http.get("/healthz", host="127.0.0.1")).status == 403


def opened(port: int, count: int, first: bytes) -> list[socket.socket]:
    connections = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(count)]
    for connection in connections:
        connection.sendall(first)
    return connections


def ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(4096) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("first", [b"", b"POST /es/elser HTTP/1.1\r\nhost: 127.0.0.1\r\n"], ids=["silent", "half head"])
async def test_a_connection_that_does_not_ask_is_closed(serve: Serve, first: bytes) -> None:
    async with serve(fake_model(), gateway=config.Gateway(port=0, header_timeout=0.3)) as http:
        port = int(http.server.sidecar.gateway_url.rpartition(":")[2])
        connections = await asyncio.to_thread(opened, port, 20, first)
        try:
            assert all([await asyncio.to_thread(ended, one) for one in connections])
        finally:
            for one in connections:
                one.close()


async def test_a_second_request_has_the_same_time_and_a_slow_answer_its_own(serve: Serve) -> None:
    model = fake_model()
    async with serve(model, gateway=config.Gateway(port=0, header_timeout=0.3)) as http:
        connection = http.connect()
        json_type = {"content-type": "application/json"}

        def ask() -> int:
            connection.request("POST", "/es/elser", b'{"inputs":["a"]}', json_type)
            answer = connection.getresponse()
            answer.read()
            return answer.status

        with closing(connection):
            assert await asyncio.to_thread(ask) == 200
            await asyncio.sleep(0.6)  # idle, but kept alive
            model.gate.clear()
            slow = asyncio.create_task(asyncio.to_thread(ask))
            await until(lambda: model.waiting)
            await asyncio.sleep(0.6)
            model.gate.set()
            assert await slow == 200
            assert connection.sock is not None
            connection.sock.sendall(b"POST /es")
            assert await asyncio.to_thread(ended, connection.sock)


async def test_bytes_that_are_no_request_get_a_typed_error(http: Http) -> None:
    port = int(http.server.sidecar.gateway_url.rpartition(":")[2])
    [connection] = await asyncio.to_thread(opened, port, 1, b"\0\1 garbage\r\n\r\n")
    with closing(connection):
        head, _, body = (await asyncio.to_thread(connection.recv, 4096)).partition(b"\r\n\r\n")
        assert await asyncio.to_thread(ended, connection)
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["error_type"] == "INVALID_ARGUMENT"


async def test_connections_are_capped(serve: Serve) -> None:
    async with serve(fake_model(), gateway=config.Gateway(port=0, connections=3)) as http:
        port = int(http.server.sidecar.gateway_url.rpartition(":")[2])
        held = await asyncio.to_thread(opened, port, 3, b"")
        got = await http.get("/healthz")
        assert (got.status, got.json["error_type"]) == (503, "UNAVAILABLE")
        for one in held:
            one.close()

        async def answered() -> bool:
            return (await http.get("/healthz")).status == 200

        async with asyncio.timeout(30):
            while not await answered():  # noqa: ASYNC110  # the server's event is not ours
                await asyncio.sleep(0.01)  # until the server has seen them go


async def test_metrics_have_a_port_of_their_own_and_no_thread_for_each_caller(tmp_path: Path) -> None:
    engine = EmbeddedEngine(tmp_path / "index.sqlite")
    settings = config.Settings(port=0, models={"m": "m"}, metrics=config.Metrics(port=0))

    def scrape(url: str) -> tuple[int, bytes]:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read()

    async with running(settings, engine=engine, loader=lambda name, source: FakeModel()) as sidecar:
        url = f"http://127.0.0.1:{sidecar.metrics_port}/metrics"
        status, body = await asyncio.to_thread(scrape, url)
        assert status == 200
        assert b"cherche_requests_total" in body
        held = await asyncio.to_thread(opened, sidecar.metrics_port, 40, b"")
        refused: Any = held[-1]
        assert b" 503 " in await asyncio.to_thread(refused.recv, 4096)
        for one in held:
            one.close()
    await engine.aclose()


async def test_a_taken_port_of_the_metrics_says_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ChercheError) as caught:
        metrics_port(Metrics(), "127.0.0.1", taken.getsockname()[1])
    assert caught.value.code is Code.FAILED_PRECONDITION
    assert "CHERCHE_METRICS__PORT" in caught.value.next_step
