"""Taking everything out again: what is said of the versions of documents."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.errors import ChercheError
from sidecar.maintenance.removal import remove
from sidecar.maintenance.setup import setup
from sidecar.values.documents import StoredDocument
from sidecar.values.index import IndexOptions
from sidecar.values.maintenance import EXTERNAL, Removal


async def set_up(world: Any) -> None:
    await setup(world.index, IndexOptions(), world.context, dry_run=False)
    world.engine.documents["1"] = StoredDocument("1", {"text": "a"}, "h", "ok")


async def test_it_tells_how_many_documents_changed(world: Any) -> None:
    await set_up(world)
    for dry_run in (True, False):
        assert await remove(world.index, world.context, dry_run=dry_run) == Removal(1)


async def test_versions_of_an_owner_are_warned_of_and_kept_where_that_is_asked_for(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[bool] = []

    async def foreign_versions(index: str, size: int) -> int:
        return 4

    async def removed(index: str, *, dry_run: bool, keeps_versions: bool) -> Removal:
        kept.append(keeps_versions)
        return Removal(9, ("9 documents",))

    await set_up(world)
    monkeypatch.setattr(world.engine, "foreign_versions", foreign_versions, raising=False)
    monkeypatch.setattr(world.engine, "remove", removed)
    plan = await remove(world.index, world.context, dry_run=True)
    assert plan.changes == (
        "9 documents",
        "4 sampled documents of articles have versions that their owner seems to give them: each that is changed gets "
        "the next one, and the owner's is refused then — add --version-type external_gte to keep them",
    )
    plan = await remove(world.index, world.context, dry_run=True, version_type=EXTERNAL)
    assert plan.changes == ("9 documents",)
    assert kept == [False, True]
    with pytest.raises(ChercheError, match="version_type is 'internal'"):
        await remove(world.index, world.context, dry_run=True, version_type="internal")
