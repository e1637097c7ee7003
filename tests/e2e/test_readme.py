"""What the documents promise is run: ```console and ```python blocks, in order, in an empty folder."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "cherche_models/docs/neural-cherche.md",
    "sidecar/docs/capacity.md",
    "sidecar/docs/choosing-a-model.md",
    "sidecar/docs/how-it-works.md",
    "sidecar/docs/which-way-in.md",
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_BLOCK = re.compile(r"^```(console|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Step:
    """A command, or a piece of Python, and what it prints; "…" or "..." stands for anything."""

    line: int
    language: str
    source: str
    expected: str


def steps(text: str) -> list[Step]:
    found = []
    for block in _BLOCK.finditer(text):
        line = text[: block.start()].count("\n") + 2
        language, body = block.groups()
        if language == "python":
            found.append(Step(line, language, body, ""))
        else:
            found += console_steps(body, line)
    return found


def console_steps(body: str, line: int) -> list[Step]:
    """Lines that begin with "$ " are commands, "> " continues one, others are what it prints."""
    found: list[Step] = []
    for offset, text in enumerate(body.splitlines()):
        if text.startswith("$ "):
            found.append(Step(line + offset, "console", text[2:], ""))
        elif (text.startswith("> ") or text == ">") and found and not found[-1].expected:
            last = found.pop()
            found.append(Step(last.line, "console", f"{last.source}\n{text[2:]}", ""))
        else:
            assert found, f"line {line + offset}: output before the first command"
            last = found.pop()
            found.append(Step(last.line, "console", last.source, f"{last.expected}{text}\n"))
    return found


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHERCHE_")}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "CHERCHE_EMBEDDED__PATH": str(folder / "index.sqlite"),
        "CHERCHE_METRICS__PORT": "-1",
        "NO_COLOR": "1",
    }


def run(step: Step, folder: Path) -> subprocess.CompletedProcess[str]:
    if target := re.match(r"make (\w+)", step.source):
        # What the target runs is tested where it belongs; here, that there is one.
        return subprocess.run(["make", "-n", target[1]], check=False, cwd=ROOT, capture_output=True, text=True)
    if step.language == "python":
        command = [sys.executable, "-c", step.source]
    else:
        command = ["bash", "-euo", "pipefail", "-c", step.source]
    return subprocess.run(
        command, check=False, cwd=folder, capture_output=True, text=True, env=environment(folder), timeout=600
    )


@pytest.mark.timeout(900)
@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_block_does_what_it_says(document: str, tmp_path: Path) -> None:
    path = ROOT / document
    for step in steps(path.read_text(encoding="utf-8")):
        done = run(step, tmp_path)
        where = f"{document}:{step.line}: {step.source}"
        assert done.returncode == 0, f"{where}\n{done.stdout}{done.stderr}"
        if step.expected:
            expected = step.expected.replace("…", "...")
            assert doctest.OutputChecker().check_output(expected, done.stdout, FLAGS), f"{where}\n{done.stdout}"


def test_steps_are_read_as_written() -> None:
    text = "```console\n$ a \\\n> b\nout\n$ c\n```\n```python\nx = 1\n```\n```\n$ not run\n```\n"
    assert [(s.language, s.source, s.expected) for s in steps(text)] == [
        ("console", "a \\\nb", "out\n"),
        ("console", "c", ""),
        ("python", "x = 1\n", ""),
    ]
