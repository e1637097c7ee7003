"""A sidecar with TLS and a token: the CA is in the node's config folder, the token in its keystore."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from pydantic import SecretStr

from sidecar.client.client import Client
from sidecar.config import Metrics, Settings, Tls
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.serve import running
from sidecar.testing import FakeModel
from sidecar.values.index import IndexOptions
from tests.integration.plugin.nodes import RunningNode, running_node
from tests.integration.plugin.requests import until

pytestmark = [pytest.mark.java, pytest.mark.timeout(900)]

TOKEN = "s3cret-of-the-keystore"
PIPELINE = {
    "request_processors": [{"cherche_query": {"rerank": True}}],
    "response_processors": [{"cherche_rerank": {}}],
}


def certificate(folder: Path, name: str, address: str) -> tuple[Path, Path]:
    """A certificate that signs itself, and its key."""
    cert, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    command += ["-addext", f"subjectAltName={address}", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("trusted"), "sidecar", "IP:127.0.0.1")


@pytest.fixture(scope="module")
def node(plugin_zip: Path, trusted: tuple[Path, Path]) -> Iterator[RunningNode]:
    """A node that trusts one certificate and has one token."""
    settings = [
        "plugins.cherche.tls.enabled: true",
        "plugins.cherche.tls.ca: sidecar.pem",
        "plugins.cherche.query.deadline: 20s",
    ]
    files, secrets = {"sidecar.pem": trusted[0].read_bytes()}, {"plugins.cherche.token": TOKEN}
    with running_node([plugin_zip], answers, settings=settings, files=files, secrets=secrets) as node:
        yield node


def answers(url: str) -> bool:
    try:
        return bool(send(url, "GET", "/_cluster/health?timeout=1s")["status"] != "red")
    except URLError:
        return False


def send(url: str, method: str, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url + path, data, {"content-type": "application/json"}, method=method), timeout=60) as reply:
        return json.load(reply)


def settings(cert: tuple[Path, Path], token: str) -> Settings:
    return Settings(
        port=0,
        tls=Tls(cert=cert[0], key=cert[1]),
        token=SecretStr(token),
        models={"m": "m"},
        metrics=Metrics(port=-1),
    )


async def status(url: str, address: str, text: str) -> dict[str, Any]:
    """Search through one sidecar; statuses and counts of the page."""
    changed = {"persistent": {"plugins.cherche.endpoints": [address], "plugins.cherche.breaker.failures": 1000}}
    send(url, "PUT", "/_cluster/settings", changed)
    body = {"query": {"match": {"text": text}}, "search_pipeline": PIPELINE}
    reply = await asyncio.to_thread(send, url, "POST", "/articles/_search", body)
    return dict(reply["ext"]["cherche"])


async def test_tls_and_the_token_of_the_keystore(node: RunningNode, trusted: tuple[Path, Path], tmp_path: Path) -> None:
    url = node.url
    engine = OpenSearchEngine.connect(url)
    async with running(settings(trusted, TOKEN), engine=engine, loader=lambda *_: FakeModel()) as sidecar:
        await sidecar.warm()
        trusting = Settings(tls=Tls(ca=trusted[0]), token=SecretStr(TOKEN))
        async with Client.from_settings(trusting, sidecar.address) as client:
            await client.setup_index("articles", IndexOptions())

        async def is_served() -> bool:
            return bool((await status(url, sidecar.address, "car"))["rerank_status"] == "APPLIED")

        await until(is_served)
    other = certificate(tmp_path, "stranger", "IP:127.0.0.1")
    for cert, token, reason in [(trusted, "another token", "token"), (other, TOKEN, "")]:
        async with running(settings(cert, token), engine=engine, loader=lambda *_: FakeModel()) as sidecar:
            await sidecar.warm()
            ext = await status(url, sidecar.address, f"film {token} {cert[0].name}")
            assert ext["query_status"] == "UNAVAILABLE", ext
            assert reason in ext["query_reason"]
            assert TOKEN not in str(ext)
    async with running(settings(trusted, "changed"), engine=engine, loader=lambda *_: FakeModel()) as sidecar:
        await sidecar.warm()
        assert (await status(url, sidecar.address, "changed too soon"))["query_status"] == "UNAVAILABLE"
        node.keep({"plugins.cherche.token": "changed"})
        assert send(url, "POST", "/_nodes/reload_secure_settings")["_nodes"]["failed"] == 0
        assert (await status(url, sidecar.address, "changed now"))["query_status"] == "REWRITTEN"
    await engine.aclose()
