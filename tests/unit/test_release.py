"""What ``make dist`` writes beside the packages, and that the versions of all parts are one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

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


def test_without_a_wheel_the_next_step_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "DIST", tmp_path)
    with pytest.raises(SystemExit, match="make dist"):
        release.wheel()


def test_a_demo_that_finds_no_more_than_bm25_is_a_failure() -> None:
    assert dist.checked({"bm25": 3, "hybrid+rerank": 13}) == {"bm25": 3, "hybrid+rerank": 13}
    with pytest.raises(SystemExit, match="finds"):
        dist.checked({"bm25": 3, "hybrid+rerank": 3})
