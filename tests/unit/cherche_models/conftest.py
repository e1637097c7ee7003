from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # torch is imported by what asks for a model: tests of the kernel need none
    from cherche_models.models import Joint, Model, Splade


@pytest.fixture(scope="session")
def masked_lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random masked-LM checkpoint."""
    from tests import checkpoints

    return checkpoints.masked_lm(tmp_path_factory.mktemp("masked_lm"))


@pytest.fixture(scope="session")
def splade(masked_lm: Path) -> Splade:
    from cherche_models import hub
    from cherche_models.models import Splade

    model = hub.load(masked_lm, device="cpu", dtype="fp32")
    assert isinstance(model, Splade)
    return model


@pytest.fixture(scope="session")
def joint(masked_lm: Path) -> Joint:
    from cherche_models import hub
    from cherche_models.models import Joint

    model = hub.load(masked_lm, device="cpu", dtype="fp32", architecture="joint", new_head=True, dim=16)
    assert isinstance(model, Joint)
    return model


@pytest.fixture(scope="session")
def sparse_embed(tmp_path_factory: pytest.TempPathFactory) -> Model:
    from cherche_models import hub
    from tests import checkpoints

    folder: Path = checkpoints.neural_cherche(tmp_path_factory.mktemp("sparse_embed"), projection=16, masks=2)
    return hub.load(folder, device="cpu", dtype="fp32")
