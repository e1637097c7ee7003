"""The port itself: exposure, certificates, and how it opens and closes."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import urllib.request
from pathlib import Path

import pytest
from pydantic import SecretStr
from uvicorn.protocols.http.h11_impl import H11Protocol

from sidecar import config
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.errors import ChercheError
from sidecar.gateway.server import gateway_port
from sidecar.serve import in_process, running
from sidecar.services import Services
from sidecar.testing import FakeModel
from tests.integration.gateway.conftest import Http, Serve, fake_model
from tests.integration.rpc.conftest import until


async def test_a_gateway_beyond_loopback_does_not_start_unprotected(serve: Serve) -> None:
    with pytest.raises(ChercheError, match=r"0\.0\.0\.0"):
        async with serve(fake_model(), gateway=config.Gateway(host="0.0.0.0", port=0)):
            pass


async def test_a_port_that_is_taken_is_named(http: Http, serve: Serve) -> None:
    port = int(http.server.sidecar.gateway_url.rpartition(":")[2])
    with pytest.raises(ChercheError, match="CHERCHE_GATEWAY__PORT"):
        async with serve(FakeModel(), gateway=config.Gateway(port=port)):
            pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *name]
    subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return cert, key


async def test_the_certificate_is_that_of_grpc(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    engine = EmbeddedEngine(tmp_path / "index.sqlite")
    settings = config.Settings(
        port=0,
        gateway=config.Gateway(host="0.0.0.0", port=0),
        tls=config.Tls(cert=cert, key=key),
        token=SecretStr("t"),
        models={"m": "m"},
        metrics=config.Metrics(port=-1),
    )

    def call(url: str) -> int:
        trusting = ssl.create_default_context(cafile=str(cert))
        with urllib.request.urlopen(f"{url}/healthz", context=trusting, timeout=30) as answer:
            return int(answer.status)

    async with running(settings, engine=engine, loader=lambda name, source: FakeModel()) as sidecar:
        await sidecar.warm()
        assert sidecar.gateway_url.startswith("https://127.0.0.1:")
        assert await asyncio.to_thread(call, sidecar.gateway_url) == 200
    await engine.aclose()


@pytest.mark.parametrize("broken", ["cert", "key"])
async def test_a_certificate_that_cannot_be_used_is_named(
    serve: Serve, certificate: tuple[Path, Path], tmp_path: Path, broken: str
) -> None:
    files = dict(zip(("cert", "key"), certificate, strict=True)) | {broken: tmp_path / "missing.pem"}
    settings = config.Settings(gateway=config.Gateway(port=0), tls=config.Tls(**files))
    async with serve(fake_model()) as http:
        services = Services(None, http.server.sidecar.registry)  # type: ignore[arg-type]  # nothing is encoded
        with pytest.raises(ChercheError, match="certificate"):
            gateway_port(services, settings)


async def test_a_sidecar_in_process_opens_no_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.serve._loader", lambda settings: lambda name, source: FakeModel())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = config.Settings(
            gateway=config.Gateway(port=taken.getsockname()[1]),
            embedded=config.Embedded(path=tmp_path / "index.sqlite"),
        )
        async with in_process(settings) as client:  # it would fail on the port
            assert await client.list_models()


async def test_no_answer_waits_for_an_acknowledgement(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nagle's algorithm and a delayed acknowledgement would cost each answer 40 ms: it is off as the answer is sent."""
    off: list[int] = []
    answered = H11Protocol.on_response_complete

    def noted(self: H11Protocol) -> None:
        port = self.transport.get_extra_info("socket")
        off.append(port.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        answered(self)

    monkeypatch.setattr(H11Protocol, "on_response_complete", noted)
    assert (await http("/es/elser", {"inputs": ["a"]})).status == 200
    assert off == [1]


async def test_an_idle_connection_does_not_hold_up_the_end(serve: Serve) -> None:
    async with serve(fake_model(), drain=3600) as http:  # longer than a test may take
        connection = http.connect()

        def ask() -> int:
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            answer.read()
            return answer.status

        assert await asyncio.to_thread(ask) == 200
    connection.close()


async def test_a_request_in_flight_survives_the_drain(serve: Serve) -> None:
    model = fake_model()
    async with serve(model) as http:
        model.gate.clear()
        flying = asyncio.create_task(http("/es/elser", {"inputs": ["a"]}))
        await until(lambda: model.waiting)
        asyncio.get_running_loop().call_later(0.2, model.gate.set)
    assert (await flying).status == 200
