"""A wheel takes the kernel along and is of its platform; without a compiler it is of any."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from cherche_models.kernel import build, library
from cherche_models.kernel.hook import KernelHook

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "small"
version = "1"
requires-python = ">=3.11"
[tool.hatch.build.targets.wheel]
packages = ["cherche_models"]
exclude = ["cherche_models/kernel/hook.py"]
[tool.hatch.build.targets.wheel.hooks.custom]
path = "cherche_models/kernel/hook.py"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of the kernel alone, with the build of this one."""
    ours = (Path(build.__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert '[tool.hatch.build.targets.wheel.hooks.custom]\npath = "cherche_models/kernel/hook.py"\n' in ours
    folder = tmp_path / "cherche_models" / "kernel"
    folder.mkdir(parents=True)
    for name in ("__init__.py", "build.py", "hook.py", "encoder.py", "library.py", *build.SOURCES, *build.HEADERS):
        shutil.copy(build.FOLDER / name, folder)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    return tmp_path


def wheel(project: Path) -> tuple[str, list[str], Path]:
    """Its file name, what it holds, and where it lies."""
    (made,) = WheelBuilder(str(project)).build(directory=str(project / "dist"), versions=["standard"])
    with zipfile.ZipFile(made) as archive:
        return Path(made).name, archive.namelist(), Path(made)


@pytest.mark.usefixtures("compiled")
def test_a_wheel_holds_the_kernel(project: Path, tmp_path: Path) -> None:
    name, files, path = wheel(project)
    assert name.startswith("small-1-py3-none-")
    assert not name.endswith("-any.whl")
    assert "cherche_models/kernel/kernel.so" in files
    assert "cherche_models/kernel/hook.py" not in files
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "there")
    assert library.load(tmp_path / "there" / "cherche_models" / "kernel" / "kernel.so").kernels
    assert not (project / "cherche_models" / "kernel" / "kernel.so").exists(), "the checkout stays as it was"


@pytest.mark.usefixtures("compiled")
def test_an_editable_install_compiles_in_place(project: Path) -> None:
    KernelHook(str(project), {}, None, None, str(project), "wheel").initialize("editable", {})
    assert library.load(project / "cherche_models" / "kernel" / "kernel.so").kernels


def test_without_a_compiler_the_wheel_is_of_any_platform(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    name, files, _ = wheel(project)
    assert name == "small-1-py3-none-any.whl"
    assert "cherche_models/kernel/library.py" in files
    assert not [file for file in files if file.endswith(".so")]
    said = "MaxSim is left to numpy, queries to torch: no C compiler: none of no-such-compiler is on the search path"
    assert said in "".join(capsys.readouterr())
