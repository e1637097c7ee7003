from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.demo import corpus


@pytest.fixture(scope="module")
def entries() -> list[corpus.Entry]:
    return corpus.standard_library()


def test_it_is_some_thousands_of_entries_the_same_every_time(entries: list[corpus.Entry]) -> None:
    assert 4_000 < len(entries) < 10_000
    assert entries == corpus.standard_library()
    ids = [entry.id for entry in entries]
    assert ids == sorted(set(ids))


def test_texts_are_short_and_hold_something(entries: list[corpus.Entry]) -> None:
    assert max(len(entry.text) for entry in entries) <= corpus.MAX_CHARACTERS
    assert min(len(entry.text.split()) for entry in entries) >= corpus.MIN_WORDS
    assert not [entry.id for entry in entries if any(part.startswith("_") for part in entry.id.split("."))]


def test_builtins_come_from_their_doc(entries: list[corpus.Entry]) -> None:
    texts = {entry.id: entry.text for entry in entries}
    assert texts["len"] == "Return the number of items in a container."
    assert "str.swapcase" in texts


def test_nothing_is_imported() -> None:
    script = (
        "import sys, json, ast, inspect, sysconfig, pathlib, warnings\n"
        "import sidecar.demo.corpus as corpus\n"
        "before = set(sys.modules)\n"
        "corpus.standard_library()\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"turtle", "tkinter", "antigravity", "this", "idlelib"} & set(json.loads(done.stdout))
    assert len(json.loads(done.stdout)) < 5


def test_a_private_module_documents_its_public_package(tmp_path: Path) -> None:
    package = tmp_path / "paths"
    package.mkdir()
    (package / "__init__.py").write_text('"""All about paths and files."""\n')
    (package / "_local.py").write_text(
        '"""Not the documentation of the package."""\n'
        "class Path:\n"
        '    """A path of this system."""\n'
        "    def exists(self):\n"
        '        """Whether the path exists here."""\n'
        "    def _hidden(self):\n"
        '        """Nobody is to read this."""\n'
    )
    files = corpus.module_files(tmp_path)
    names = [name for path in files for name, _ in corpus.module_entries(path, tmp_path)]
    assert names == ["paths", "paths", "paths.Path", "paths.Path.exists"]
