from __future__ import annotations

from pathlib import Path

import pytest

from cherche_models import hub
from cherche_models.kernel import library
from cherche_models.kernel.library import Kernel, Loaded
from cherche_models.models import Joint


@pytest.fixture(autouse=True)
def compiled_here(kernels: tuple[Kernel, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "installed", lambda: Loaded(kernels))


@pytest.fixture
def saved(joint: Joint, tmp_path: Path) -> Path:
    """A folder of a tiny joint model, to be changed."""
    hub.save(joint, tmp_path / "model")
    return tmp_path / "model"
