"""ModelService over a real server."""

from __future__ import annotations

import pytest

from sidecar.config import Settings
from sidecar.errors import ChercheError, Code
from sidecar.protocols import Engine
from sidecar.testing import RunningServer, running_server


async def test_models_are_listed_loaded_and_freed(server: RunningServer) -> None:
    client = server.client
    [served] = await client.list_models()
    assert (served.name, served.state, served.is_default) == ("fake", "READY", True)
    assert served.description is not None
    assert served.description.sparse
    assert await client.get_model("fake") == served
    loaded = await client.load_model("second", "fake")
    assert (loaded.name, loaded.state, loaded.is_default) == ("second", "READY", False)
    assert [model.name for model in await client.list_models()] == ["fake", "second"]
    await client.unload_model("second")
    for call, code in (
        (client.get_model("second"), Code.NOT_FOUND),
        (client.unload_model("fake"), Code.FAILED_PRECONDITION),
        (client.load_model("fake", "fake"), Code.ALREADY_EXISTS),
        (client.load_model("third", "nothing"), Code.FAILED_PRECONDITION),
    ):
        with pytest.raises(ChercheError) as caught:
            await call
        assert caught.value.code is code


async def test_loading_models_can_be_forbidden(engine: Engine) -> None:
    async with running_server(engine, settings=Settings(allow_load=False)) as server:
        for call in (server.client.load_model("a", "fake"), server.client.unload_model("fake")):
            with pytest.raises(ChercheError) as caught:
                await call
            assert caught.value.code is Code.PERMISSION_DENIED
