from __future__ import annotations

import pytest

from tests.unit.sidecar.adapters.memory import MemoryClient


@pytest.fixture
def client() -> MemoryClient:
    return MemoryClient()
