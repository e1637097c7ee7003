"""Versions that the owner of documents gives them."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.errors import ChercheError, Code
from sidecar.maintenance.versions import keeps_versions, owners_versions


def test_another_version_type_is_refused() -> None:
    assert (keeps_versions("external_gte"), keeps_versions("")) == (True, False)
    with pytest.raises(ChercheError, match="external_gte, or nothing") as refused:
        keeps_versions("external")
    assert refused.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize("foreign", [0, 3])
async def test_versions_are_warned_of_where_a_sample_has_somebodys_own(
    world: Any, monkeypatch: pytest.MonkeyPatch, foreign: int
) -> None:
    async def found(index: str, size: int) -> int:
        return foreign

    monkeypatch.setattr(world.engine, "foreign_versions", found, raising=False)
    said = await owners_versions("books", "encoded", world.context)
    assert len(said) == bool(foreign)
    assert all(line.startswith("3 sampled documents of books have versions") for line in said)
