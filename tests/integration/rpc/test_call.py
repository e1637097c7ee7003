"""Credentials of a call, and answers that its caller can receive."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import pytest

from sidecar.client.client import Client
from sidecar.config import Limits, Settings
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.errors import ChercheError, Code
from sidecar.protocols import Engine
from sidecar.testing import running_server
from sidecar.values.encoded import Text
from sidecar.values.index import Identity, IndexOptions
from sidecar.values.search import SearchRequest


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
        async with Client(server.address, timeout=60) as anonymous:
            await anonymous.search(SearchRequest("a", "x"))
    await engine.aclose()
    assert engine.callers == ["Basic dTpw", "Basic dTpw", None]


async def test_an_answer_that_cannot_be_received_is_refused(engine: Engine) -> None:
    limits = Limits(request_bytes=1 << 13, document_bytes=1 << 12)
    async with running_server(engine, settings=Settings(limits=limits)) as server:
        words = " ".join(f"w{i}" for i in range(126))
        with pytest.raises(ChercheError, match="the answer has") as caught:
            await server.client.encode_documents([Text(words)] * 4)
        assert caught.value.code is Code.INVALID_ARGUMENT
