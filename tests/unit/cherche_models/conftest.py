from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cherche_models import hub
from cherche_models.kernel import build, library
from cherche_models.kernel.library import Kernel
from cherche_models.models import Joint, Model, Splade
from tests import checkpoints


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory, require: Callable[[str, str], None]) -> Path:
    """The kernel as it is now, compiled for the tests; without a C compiler they are skipped."""
    try:
        return build.build(tmp_path_factory.mktemp("kernel"))
    except build.BuildError as error:
        require("compiler", str(error))
        raise


@pytest.fixture(scope="session")
def kernels(compiled: Path) -> tuple[Kernel, ...]:
    loaded = library.load(compiled)
    assert not loaded.reason
    return loaded.kernels


@pytest.fixture(scope="session")
def masked_lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random masked-LM checkpoint."""
    return checkpoints.masked_lm(tmp_path_factory.mktemp("masked_lm"))


@pytest.fixture(scope="session")
def splade(masked_lm: Path) -> Splade:
    model = hub.load(masked_lm, device="cpu", dtype="fp32")
    assert isinstance(model, Splade)
    return model


@pytest.fixture(scope="session")
def joint(masked_lm: Path) -> Joint:
    model = hub.load(masked_lm, device="cpu", dtype="fp32", architecture="joint", new_head=True, dim=16)
    assert isinstance(model, Joint)
    return model


@pytest.fixture(scope="session")
def sparse_embed(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder: Path = checkpoints.neural_cherche(tmp_path_factory.mktemp("sparse_embed"), projection=16, masks=2)
    return hub.load(folder, device="cpu", dtype="fp32")
