"""An index of plain documents in a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.sidecar.maintenance.fakes import FileWorld, Interrupted


@pytest.fixture
async def file_world(tmp_path: Path) -> AsyncIterator[FileWorld]:
    engine = Interrupted(tmp_path / "index.sqlite")
    yield FileWorld(engine)
    await engine.aclose()
