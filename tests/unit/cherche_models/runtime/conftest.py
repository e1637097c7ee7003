from __future__ import annotations

from pathlib import Path

import pytest

from cherche_models import hub
from cherche_models.models import Model
from tests import checkpoints


@pytest.fixture(scope="session")
def sparse_embed(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder: Path = checkpoints.neural_cherche(tmp_path_factory.mktemp("sparse_embed"), projection=16, masks=2)
    return hub.load(folder, device="cpu", dtype="fp32")
