"""An engine on a file of its own, with one index."""

from __future__ import annotations

import pytest

from sidecar.engines.embedded import EmbeddedEngine
from sidecar.errors import ChercheError
from tests.integration.engines.conftest import META, Bench


@pytest.fixture
def path(tmp_path):
    return tmp_path / "engine.db"


@pytest.fixture
def index():
    return "articles"


@pytest.fixture
async def engine(path):
    engine = EmbeddedEngine(path)
    yield engine
    await engine.aclose()


@pytest.fixture
async def bench(engine, index):
    await engine.setup(index, META)
    return Bench(engine, index)


@pytest.fixture
async def filled(bench):
    await bench.fill(*(bench.document(id, "sun", {"sun": 1.0}) for id in "abc"))
    return bench


async def refused(call):
    """The error that a call raises."""
    with pytest.raises(ChercheError) as caught:
        await call
    return caught.value
