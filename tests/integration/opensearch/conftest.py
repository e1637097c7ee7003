"""An engine on a real cluster of each product, an index name of its own per test, and raw requests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.engines.opensearch.http import Request
from sidecar.errors import ChercheError, Code
from tests.integration.opensearch.corpus import Send


@pytest.fixture(params=["opensearch", "elasticsearch"])
def product(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def cluster_url(product: str, request: pytest.FixtureRequest) -> str:
    """URL of a cluster of each product in turn."""
    return str(request.getfixturevalue(f"{product}_url"))


@pytest.fixture
async def opensearch(cluster_url: str) -> AsyncIterator[OpenSearchEngine]:
    """The engine, on whichever product it is."""
    engine = OpenSearchEngine.connect(cluster_url)
    yield engine
    await engine.aclose()


@pytest.fixture
async def send(opensearch: OpenSearchEngine) -> Send:
    """A raw request to the cluster, as somebody else's client would send it."""

    async def raw(method: str, path: str, body: Any = None, **params: str) -> Any:
        return await opensearch._http.send(Request(method, path, body, params), what="test")

    return raw


@pytest.fixture
async def index(opensearch: OpenSearchEngine, send: Send) -> AsyncIterator[str]:
    """A name; whatever index has it afterwards is deleted."""
    name = f"test-{uuid4().hex[:12]}"
    yield name
    try:
        await send("DELETE", f"/{name}")
    except ChercheError as error:
        if error.code != Code.NOT_FOUND:
            raise
