"""grpc.aio loses the status of a stream that ends while it is written to; the client asks again."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import grpc
import pytest

from sidecar.client.calls import Calls
from sidecar.errors import ChercheError, Code
from sidecar.testing import RunningServer
from sidecar.values.documents import SourceDocument
from sidecar.values.encoded import Text
from sidecar.values.index import IndexOptions


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stream ends as one whose write came too late."""

    async def responses(self: Calls, call: Any, owes: Any = None) -> AsyncGenerator[Any, None]:
        call.cancel()
        none = grpc.aio.Metadata()
        raise self.error(grpc.aio.AioRpcError(grpc.StatusCode.INTERNAL, none, none, "Internal error from Core"))
        yield

    monkeypatch.setattr(Calls, "responses", responses)


async def feed(server: RunningServer) -> None:
    async def documents() -> AsyncIterator[SourceDocument]:
        yield SourceDocument("1", b'{"text": "ducks"}')

    async for result in server.client.index_documents("articles", documents()):
        raise AssertionError(f"nothing was answered, but {result}")


async def test_a_feed_says_that_the_index_is_missing(server: RunningServer, lost: None) -> None:
    with pytest.raises(ChercheError, match="cherche setup articles") as raised:
        await feed(server)
    assert raised.value.code is Code.NOT_FOUND


async def test_a_feed_into_a_sound_index_may_be_run_again(server: RunningServer, lost: None) -> None:
    await server.client.setup_index("articles", IndexOptions())
    with pytest.raises(ChercheError, match="ended the stream — run the same again") as raised:
        await feed(server)
    assert raised.value.code is Code.UNAVAILABLE


async def test_a_stream_of_texts_says_that_the_model_is_missing(server: RunningServer, lost: None) -> None:
    async def texts() -> AsyncIterator[Text]:
        yield Text("ducks")

    answers = server.client.stream_documents(texts(), model="absent")
    with pytest.raises(ChercheError, match="is not served") as raised:
        await anext(answers)
    assert raised.value.code is Code.NOT_FOUND
