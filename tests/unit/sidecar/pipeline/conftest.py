from __future__ import annotations

from typing import Any

import pytest

from tests.unit.sidecar.pipeline.searching import filled


@pytest.fixture
async def ready(world: Any) -> Any:
    return await filled(world)
