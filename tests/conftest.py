"""Fixtures shared by all tiers: an empty environment, and what a machine may lack."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from cherche_models.kernel import build, library
from cherche_models.kernel.library import Kernel

# Tests start processes while gRPC's threads run; its fork handlers, which such a child does not need, crashed one.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# Threads of OpenMP spin while they wait for one that has no core: beside other work, training took nine times the CPU.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Where processes share the cores, each and what it starts computes with its part of them.
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))

# A run that `timeout` or a CI ends finishes its fixtures too: clusters are processes of their own, and would stay.
signal.signal(signal.SIGTERM, signal.default_int_handler)

# Time is no property: a busy machine fails nothing.
settings.register_profile("cherche", deadline=None)
settings.load_profile("cherche")

NEEDS = ("data", "models", "java", "browser", "helm", "ray", "compiler", "docs")
_REQUIRED = frozenset(filter(None, os.environ.get("CHERCHE_REQUIRE", "").split(",")))
_TEST_DATA = os.environ.get("CHERCHE_TEST_DATA")
_TEST_MODELS = os.environ.get("CHERCHE_TEST_MODELS")
_TEST_KERNEL = os.environ.get("CHERCHE_TEST_KERNEL")

if unknown := _REQUIRED - set(NEEDS):
    raise pytest.UsageError(f"CHERCHE_REQUIRE names {sorted(unknown)}; it knows {', '.join(NEEDS)}")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Who runs what in `make test`; the processes collect in the order of `rank`."""
    from tests.workers import Parts

    config.option.loadscopereorder = False
    return Parts(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        from tests.workers import rank

        items.sort(key=lambda item: rank(item.nodeid))


def missing(need: str, reason: str) -> None:
    """Skip, or fail where CHERCHE_REQUIRE says that this machine has what is missing."""
    if need in _REQUIRED:
        pytest.fail(f"CHERCHE_REQUIRE lists {need}, but {reason}")
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on the developer's own settings."""
    for name in list(os.environ):
        if name.startswith("CHERCHE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def require() -> Callable[[str, str], None]:
    """`missing`, for tests that look for something themselves."""
    return missing


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of test collections."""
    return _folder("data", "CHERCHE_TEST_DATA", _TEST_DATA)


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """The folder of test checkpoints."""
    return _folder("models", "CHERCHE_TEST_MODELS", _TEST_MODELS)


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kernel as it is now, compiled for the tests, or on another machine (see `tests.arm`)."""
    if _TEST_KERNEL:
        return Path(_TEST_KERNEL)
    try:
        return build.build(tmp_path_factory.mktemp("kernel"))
    except build.BuildError as error:
        missing("compiler", str(error))
        raise


@pytest.fixture(scope="session")
def kernels(compiled: Path) -> tuple[Kernel, ...]:
    """Every way of it to compute that this processor has, the plainest first."""
    loaded = library.load(compiled)
    assert not loaded.reason
    return loaded.kernels


def _folder(need: str, variable: str, value: str | None) -> Path:
    if not value:
        missing(need, f"{variable} is not set")
    folder = Path(str(value))
    if not folder.is_dir():
        missing(need, f"{variable} names {folder}, which is not a folder")
    return folder
