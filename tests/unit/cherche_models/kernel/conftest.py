"""The kernel as it is now, compiled for the tests; without a C compiler they are skipped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cherche_models.kernel import build, library
from cherche_models.kernel.library import Kernel


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory, require: Callable[[str, str], None]) -> Path:
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
