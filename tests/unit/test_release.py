"""What ``make dist`` writes beside the packages, and that the versions of all parts are one."""

from __future__ import annotations

import platform
import subprocess
import zipfile
from pathlib import Path

import pytest

from cherche_models.kernel import build
from sidecar import __version__
from tests import release
from tests.benchmarks import dist


def test_the_plugin_and_the_package_have_one_version() -> None:
    versions = release.pom()
    assert versions["version"] == __version__
    assert versions["opensearch.version"] in release.RELEASES
    makefile = (release.ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"OPENSEARCH_VERSION ?= {versions['opensearch.version']}\n" in makefile


def test_components_are_pinned_with_the_digests_of_the_index() -> None:
    def one(name: str, version: str, **archive: object) -> dict[str, object]:
        return {"metadata": {"name": name, "version": version}, "download_info": archive}

    report = {
        "install": [
            one("torch", "2.15.0", archive_info={"hashes": {"sha256": "ab", "md5": "cd"}}),
            one("click", "8.5.1", dir_info={}),
            one("cherche-sidecar", "0.1.0", archive_info={}),
        ]
    }
    assert release.pinned(report) == ["click==8.5.1", "torch==2.15.0 --hash=sha256:ab"]


def test_sums_are_what_sha256sum_reads(tmp_path: Path) -> None:
    (tmp_path / "b.zip").write_bytes(b"b")
    (tmp_path / "a.whl").write_bytes(b"a")
    sums = tmp_path / release.SUMS
    sums.write_text(release.checksums(tmp_path))
    check = ["sha256sum", "--check", "--strict", release.SUMS]
    assert subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, check=True).stdout == (
        "a.whl: OK\nb.zip: OK\n"
    )
    (tmp_path / "a.whl").write_bytes(b"changed")
    assert subprocess.run(check, cwd=tmp_path, capture_output=True, check=False).returncode == 1


def packed(folder: Path, name: str, *libraries: Path) -> Path:
    """A wheel with shared libraries in it."""
    tag = "-".join(name.removesuffix(".whl").split("-")[2:])
    path, about = folder / name, "pack-1.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for library in libraries:
            archive.write(library, f"pack/{library.name}")
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: pack\nVersion: 1\n")
        archive.writestr(f"{about}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
        names = [*archive.namelist(), f"{about}/RECORD"]
        archive.writestr(f"{about}/RECORD", "".join(f"{name},,\n" for name in names))
    return path


def test_a_wheel_for_any_system_keeps_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "TOOLS", tmp_path / "none")
    package = packed(tmp_path, "pack-1-py3-none-any.whl")
    release.name_systems(package)
    assert [path.name for path in tmp_path.glob("*.whl")] == [package.name]


@pytest.mark.skipif(
    not (release.TOOLS / "bin" / "auditwheel").exists(), reason="auditwheel is not installed: make dist installs it"
)
def test_the_kernel_runs_on_every_manylinux2014(tmp_path: Path) -> None:
    try:
        library = build.build(tmp_path)
    except build.BuildError as error:
        pytest.skip(str(error))
    machine = platform.machine()
    package = packed(tmp_path, f"pack-1-py3-none-linux_{machine}.whl", library)
    release.name_systems(package)
    [made] = tmp_path.glob("*.whl")
    assert f"manylinux_2_17_{machine}" in made.name


def test_without_a_wheel_the_next_step_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "DIST", tmp_path)
    with pytest.raises(SystemExit, match="make dist"):
        release.wheel()


def test_a_demo_that_finds_no_more_than_bm25_is_a_failure() -> None:
    assert dist.checked({"bm25": 3, "hybrid+rerank": 13}) == {"bm25": 3, "hybrid+rerank": 13}
    with pytest.raises(SystemExit, match="finds"):
        dist.checked({"bm25": 3, "hybrid+rerank": 3})
