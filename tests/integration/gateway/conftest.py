from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from sidecar import config
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.models.queue import LANES
from sidecar.testing import FakeModel, RunningServer, running_server

GATEWAY = config.Gateway(port=0)
TOKENS = {"zürich": "zürich", "node": "node.js", "price": 'pr"ice'}
"""Word → how the test model's vocabulary writes it."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Http:
    """A client that sends bytes and headers as they are given, as JSON unless they say otherwise."""

    server: RunningServer

    async def __call__(self, path: str, body: bytes | object, method: str = "POST", **headers: str) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"content-type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
        return await asyncio.to_thread(self._call, method, path, data, {k: v for k, v in given.items() if v})

    async def get(self, path: str, **headers: str) -> Answer:
        return await self(path, b"", "GET", **headers)

    def connect(self) -> HTTPConnection:
        return HTTPConnection(self.server.sidecar.gateway_url.removeprefix("http://"), timeout=30)

    def _call(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        connection = self.connect()
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            received = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, received, response.read())
        finally:
            connection.close()


def fake_model(**options: Any) -> FakeModel:
    """A model with some tokens that are hard to write."""
    model = FakeModel(**options)
    return spelled(model, TOKENS) if model.sparse else model


def spelled(model: FakeModel, tokens: Mapping[str, str]) -> FakeModel:
    """The model, with other tokens for some words."""
    vocabulary = list(model.info.vocabulary)
    for word, token in tokens.items():
        vocabulary[model.token_id(word)] = token
    model._info = replace(model.info, vocabulary=tuple(vocabulary))
    return model


def problem(answer: Answer) -> tuple[int, str]:
    body = answer.json
    assert answer.headers["content-type"] == "application/json"
    assert {"error", "error_type", "reason", "next_step"} <= set(body)
    said = body["error"] if isinstance(body["error"], str) else body["error"]["message"]
    assert said.startswith(body["reason"])
    assert body["reason"]
    assert body["next_step"]
    return answer.status, body.get("code", body["error_type"])


def throttled(answer: Answer) -> bool:
    return answer.headers.get("x-amzn-errortype", "").startswith("ThrottlingException")


def sample(http: Http, name: str, **labels: str) -> float | None:
    return http.server.sidecar.metrics.registry.get_sample_value(name, labels)


def waiting(http: Http) -> float:
    return sum(sample(http, "cherche_queue_texts", model="fake", lane=lane) or 0 for lane in LANES)


Serve = Callable[..., Any]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    @asynccontextmanager
    async def serving(*models: FakeModel, warm: bool = True, **settings: Any) -> AsyncIterator[Http]:
        engine = EmbeddedEngine(tmp_path / "index.sqlite")
        options = config.Settings(**{"gateway": GATEWAY, **settings})
        try:
            async with running_server(engine, models, settings=options, warm=warm) as server:
                yield Http(server)
                for model in models:
                    model.gate.set()
        finally:
            await engine.aclose()

    return serving


@pytest.fixture
def model() -> FakeModel:
    return fake_model()


@pytest.fixture
async def http(serve: Serve, model: FakeModel) -> AsyncIterator[Http]:
    async with serve(model) as http:
        yield http


@pytest.fixture
async def protected(serve: Serve) -> AsyncIterator[Http]:
    """A gateway that requires the token TOKEN."""
    async with serve(fake_model(), token="TOKEN") as http:
        yield http
