"""Tokens, TLS, credentials and exposure."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from typing import Self

import pytest
from pydantic import SecretStr

from sidecar.client.client import Client
from sidecar.config import Limits, Metrics, Settings, Tls
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.errors import ChercheError, Code
from sidecar.protocols import Engine
from sidecar.serve import running
from sidecar.services import check_exposure
from sidecar.testing import FakeModel, running_server
from sidecar.values.index import Identity, IndexOptions
from sidecar.values.search import SearchRequest


async def test_a_token_is_asked_for(engine: Engine) -> None:
    settings = Settings(token=SecretStr("s3cret"))
    async with running_server(engine, settings=settings) as server:
        assert await server.client.list_models()
        for token in ("", "other", "s3cret "):
            with pytest.raises(ChercheError) as caught:
                async with Client(server.address, token=token, timeout=5) as stranger:
                    await stranger.list_models()
            assert caught.value.code is Code.UNAUTHENTICATED
            assert "CHERCHE_TOKEN" in caught.value.next_step
        async with Client(server.address, timeout=5) as probe:
            assert await probe.is_serving()


@pytest.mark.parametrize("secret", ["s\u00e9cret", "two\nlines"])
def test_secrets_that_no_header_carries_are_refused_unseen(secret: str) -> None:
    for name in ("token", "authorization"):
        with pytest.raises(ChercheError) as caught:
            Client("127.0.0.1:1", **{name: secret})  # type: ignore[arg-type]  # one of the two
        assert secret not in str(caught.value)


async def test_loading_models_can_be_forbidden(engine: Engine) -> None:
    async with running_server(engine, settings=Settings(allow_load=False)) as server:
        for call in (server.client.load_model("a", "fake"), server.client.unload_model("fake")):
            with pytest.raises(ChercheError) as caught:
                await call
            assert caught.value.code is Code.PERMISSION_DENIED


class Recording(EmbeddedEngine):
    """An engine that knows who called."""

    callers: list[str | None]

    def as_caller(self, identity: Identity) -> Self:
        self.callers.append(identity.authorization)
        return self


async def test_cluster_credentials_are_forwarded(tmp_path: Path) -> None:
    engine = Recording(tmp_path / "index.sqlite")
    engine.callers = []
    async with running_server(engine, authorization="Basic dTpw") as server:
        await server.client.setup_index("a", IndexOptions())
        await server.client.search(SearchRequest("a", "x"))
        async with Client(server.address, timeout=5) as anonymous:
            await anonymous.search(SearchRequest("a", "x"))
    await engine.aclose()
    assert engine.callers == ["Basic dTpw", "Basic dTpw", None]


def certified(folder: Path, names: str) -> tuple[Path, Path]:
    """A certificate of its own authority, and its key."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    name = ["-subj", "/CN=localhost", "-addext", f"subjectAltName={names}"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *name]
    subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return cert, key


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certified(tmp_path_factory.mktemp("tls"), "IP:127.0.0.1,DNS:localhost")


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certified(tmp_path_factory.mktemp("named"), "DNS:localhost")


async def test_tls_with_a_token(engine: Engine, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    settings = Settings(
        host="0.0.0.0",
        port=0,
        tls=Tls(cert=cert, key=key),
        token=SecretStr("t"),
        models={"m": "m"},
        metrics=Metrics(port=-1),
    )
    async with running(settings, engine=engine, loader=lambda name, source: FakeModel()) as sidecar:
        await sidecar.warm()
        trusting = Settings(tls=Tls(ca=cert), token=SecretStr("t"))
        async with Client.from_settings(trusting, sidecar.address) as client:
            assert await client.list_models()
        async with Client(sidecar.address, token="t", timeout=2) as plain:
            with pytest.raises(ChercheError):
                await plain.list_models()


async def test_names_of_a_list_are_held_against_certificates(engine: Engine, named: tuple[Path, Path]) -> None:
    """Looked up, a name is an address; what the certificate must have is the name all the same."""
    cert, key = named
    settings = Settings(port=0, tls=Tls(cert=cert, key=key), models={"m": "m"}, metrics=Metrics(port=-1))
    async with running(settings, engine=engine, loader=lambda name, source: FakeModel()) as sidecar:
        await sidecar.warm()
        port = sidecar.address.rpartition(":")[2]
        trusting = Settings(tls=Tls(ca=cert), limits=Limits(deadline=3))
        async with Client.from_settings(trusting, f"localhost:{port},127.0.0.1:{port}") as client:
            assert await client.list_models()
        async with Client.from_settings(trusting, f"127.0.0.1:{port},localhost:{port}") as client:
            with pytest.raises(ChercheError, match="no sidecar answers"):
                await client.list_models()


@pytest.mark.parametrize(
    "settings",
    [
        Settings(host="0.0.0.0"),
        Settings(host="0.0.0.0", token=SecretStr("t")),
        Settings(host="example.org", tls=Tls(cert=Path("c"), key=Path("k"))),
        Settings(tls=Tls(cert=Path("c"))),
    ],
)
def test_exposure_needs_protection(settings: Settings) -> None:
    with pytest.raises(ChercheError) as caught:
        check_exposure(settings)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert "--tls-cert" in caught.value.next_step


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(host="::1"),
        Settings(host="0.0.0.0", insecure=True),
        Settings(host="0.0.0.0", token=SecretStr("t"), tls=Tls(cert=Path("c"), key=Path("k"))),
        Settings(host="0.0.0.0", tls=Tls(cert=Path("c"), key=Path("k"), client_ca=Path("a"))),
    ],
)
def test_protected_or_local_is_fine(settings: Settings) -> None:
    check_exposure(settings)


async def test_a_taken_port_says_so(engine: Engine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(port=taken.getsockname()[1], models={"m": "m"}, metrics=Metrics(port=-1))
        with pytest.raises(ChercheError) as caught:
            async with running(settings, engine=engine, loader=lambda name, source: FakeModel()):
                pass
    assert caught.value.code is Code.FAILED_PRECONDITION
    assert "--port" in caught.value.next_step


async def test_an_engine_without_an_address_is_refused() -> None:
    with pytest.raises(ChercheError, match="address of a cluster"):
        async with running(Settings(engine="opensearch", port=0)):
            pass
