"""What holds for every file: it speaks of the project alone, and the wheel holds the packages alone."""

from __future__ import annotations

import re
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).relative_to(ROOT)
LARGEST_WHEEL = 60_000_000  # bytes; int8 weights, and fp16 ones, deflate to nine tenths

FORBIDDEN = {
    "a path of one machine": r"(?<![\w.])/(?:root|work|Users/\w+|tmp/venv)\b/",
    "a package registry": r"pypi\.org|pythonhosted|repo\w*\.maven|npmjs|registry\.\w+\."
    r"|download\.pytorch(?!\.org/whl/cpu\b)",  # what PyTorch itself tells people to install from
    "notes that others cannot read": r"\bdesign\.md\b|\bstyle\.md\b|shared/",
    "how it was written": r"\bAI\b|\bLLMs?\b|[Cc]hat[Bb]ot|[Cc]opilot|\b[Aa]ssistant|Co-[Aa]uthored|\bissue \d",
    "unfinished work": r"\bTODO\b|\bFIXME\b|\bXXX\b|NotImplementedError",
    "a swallowed error": r"except( Exception| BaseException)?:\s*\n?\s*pass\b|except:\s",
}
# Files that may: the one that names the folder of test data, and this one, which names them all.
ALLOWED = {(".ci/run", "notes that others cannot read")}


def tracked_texts() -> Iterator[tuple[Path, str]]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        path = ROOT / name
        if not path.is_file() or name.startswith("sidecar/pb/") or Path(name) == HERE:
            continue
        try:
            yield Path(name), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


@pytest.fixture(scope="module")
def texts() -> list[tuple[Path, str]]:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout: there is no list of its files")
    return list(tracked_texts())


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what: str, texts: list[tuple[Path, str]]) -> None:
    pattern = re.compile(FORBIDDEN[what])
    found = [
        f"{name}:{text[: match.start()].count(chr(10)) + 1}: {match.group()!r}"
        for name, text in texts
        if (str(name), what) not in ALLOWED and name.suffix not in {".json", ".jsonl", ".tsv", ".txt"}
        for match in pattern.finditer(text)
    ]
    assert not found, "\n".join(found)


def test_no_test_is_bound_to_seconds(texts: list[tuple[Path, str]]) -> None:
    """They differ between machines, and a process's CPU seconds hold those of its other threads too."""
    bound = re.compile(r"process_time\(|assert [^\n]*time\.\w+\(\) - ")
    tests = [(name, text) for name, text in texts if name.parts[0] == "tests" and name.parts[1] != "benchmarks"]
    assert [str(name) for name, text in tests if bound.search(text)] == []


def test_the_root_holds_what_it_should(texts: list[tuple[Path, str]]) -> None:
    names = {name.parts[0] for name, _ in texts if not name.parts[0].startswith(".")}
    folders = {"protos", "cherche_models", "sidecar", "opensearch", "tests"}
    files = {
        "README.md",
        "pyproject.toml",
        "docker-compose.yml",
        "LICENSE",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "Makefile",
    }
    assert names <= folders | files


def test_python_files_stay_short(texts: list[tuple[Path, str]]) -> None:
    long = {str(name): text.count("\n") for name, text in texts if _is_source(name) and text.count("\n") > 500}
    assert not long


def test_the_wheel_holds_the_two_packages_and_nothing_else(tmp_path: Path) -> None:
    from hatchling.builders.wheel import WheelBuilder

    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    assert Path(wheel).stat().st_size <= LARGEST_WHEEL
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"cherche_models", "sidecar", _dist_info(names)}
    assert {"cherche_models/py.typed", "sidecar/py.typed", "sidecar/pb/cherche/v1/search_pb2.py"} <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.endswith(("Dockerfile", ".yaml", ".tpl"))]
    for model in ("cherche-small", "cherche-tiny"):
        assert any(name.startswith(f"cherche_models/pretrained/{model}/") for name in names)


def _dist_info(names: list[str]) -> str:
    (folder,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    assert folder.startswith("cherche_sidecar-")
    return folder


def _is_source(name: Path) -> bool:
    return name.suffix == ".py" and name.parts[0] in ("cherche_models", "sidecar")
