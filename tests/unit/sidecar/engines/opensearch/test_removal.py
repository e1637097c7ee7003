"""Taking the neural part out of documents where a cluster runs no scripts: they are written anew if still the same."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.engines.opensearch.removal import strip
from sidecar.errors import ChercheError, Code
from tests.unit.sidecar.engines.opensearch.fakes import (
    UNSCRIPTED,
    FakeTransport,
    Naps,
    Sent,
    UnscriptedShelf,
    engine,
    http,
)


@pytest.mark.parametrize("reason", UNSCRIPTED)
async def test_removal_writes_documents_anew(reason: str) -> None:
    shelf = UnscriptedShelf({"a": (1, {"title": "x", "cherche_hash": "h"}), "b": (2, {"title": "y"})}, reason)
    transport = FakeTransport(shelf)
    dialect = await engine(transport)._dialect()
    assert await strip(http(transport), dialect, "books", sleep=Naps()) == 1
    assert shelf.documents == {"a": (101, {"title": "x"}), "b": (2, {"title": "y"})}
    assert shelf.pipelines == ["_none"]


async def test_removal_gives_up_on_documents_that_never_stand_still() -> None:
    shelf = UnscriptedShelf({"a": (1, {"title": "x", "cherche_hash": "h"})})

    def answer(request: Sent) -> Any:
        reply = shelf(request)
        if request.path.endswith("_search"):
            shelf.documents["a"] = (shelf.documents["a"][0] + 1, shelf.documents["a"][1])
        return reply

    transport = FakeTransport(answer)
    dialect = await engine(transport)._dialect()
    with pytest.raises(ChercheError, match="keep writing") as refused:
        await strip(http(transport), dialect, "books", sleep=Naps())
    assert refused.value.code == Code.FAILED_PRECONDITION


async def test_remove_does_not_race_a_feed_for_ever() -> None:
    def answer(request: Sent) -> Any:
        if request.path == "/books/_mapping":
            return {"books": {"mappings": {}}}
        if request.path == "/books/_settings":
            return {"books": {"settings": {}}}
        return [] if request.path.startswith("/_cat") else {"updated": 0, "version_conflicts": 3}

    with pytest.raises(ChercheError, match="keep writing") as refused:
        await engine(FakeTransport(answer)).remove("books")
    assert refused.value.code == Code.FAILED_PRECONDITION
