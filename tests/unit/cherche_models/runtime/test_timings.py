"""Where a CPU's timings are kept, and what is read of them without torch."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from cherche_models.light import place
from cherche_models.runtime import timings
from cherche_models.runtime.calibration import choose
from cherche_models.runtime.timings import cache_file


def test_measurements_lie_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_file() == tmp_path / "cherche" / "cpu.json"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/ada")
    assert cache_file() == Path("/home/ada/.cache/cherche/cpu.json")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as for a user without an entry and without HOME
    assert cache_file() == Path(tempfile.gettempdir(), "cherche", "cpu.json")


def test_what_torch_measured_is_found_without_its_libraries(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    file, found = tmp_path / "cpu.json", {"fp32": 2.0, "bf16": 1.0}
    choose(384, file=file, measured=lambda _: found)
    assert timings.kept(torch.__version__, 384, file) == found
    assert timings.kept(torch.__version__, 0, file) == found  # a width that is not known counts as that
    assert timings.kept(torch.__version__, 768, file) is None
    assert timings.kept(torch.__version__.partition("+")[0], 384, file) == found  # as the package names its release
    assert timings.kept("2.0.0", 384, file) is None
    assert timings.kept(torch.__version__, 384, tmp_path / "none.json") is None


def test_the_release_of_the_package_is_that_of_torch() -> None:
    torch = pytest.importorskip("torch")
    assert torch.__version__.partition("+")[0] == place.torch_release().partition("+")[0]


def test_a_release_is_no_other_that_begins_like_it(tmp_path: Path) -> None:
    file, found = tmp_path / "cpu.json", {"fp32": 2.0, "bf16": 1.0}
    timings.write(file, {timings.key("2.15.0+cpu", "abc", 384): found})
    assert timings.kept("2.15.0", 384, file) == found
    assert timings.kept("2.1", 384, file) is None
    assert timings.kept("2.15", 384, file) is None


def test_the_widest_that_is_measured_stands_for_all_that_are_wider() -> None:
    assert [timings.width(hidden) for hidden in (-1, 0, 128, 4096)] == [384, 384, 128, 1024]
