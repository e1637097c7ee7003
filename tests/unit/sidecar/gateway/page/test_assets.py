"""The page's files: served whole, short, and without what its policy forbids."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sidecar.gateway.page.assets import ASSETS, FOLDER, HEADERS, HOME, PREFIX

MODULES = sorted(FOLDER.glob("*.js"))
LONGEST = 300
_IMPORT = re.compile(r'from "\./([\w.]+)"')
_ELSEWHERE = re.compile(r"""(?:https?:)?//[\w-]+\.[\w.]+""")


def test_every_file_is_served() -> None:
    assert set(ASSETS) == {HOME} | {
        f"{PREFIX}{path.name}" for path in FOLDER.iterdir() if path.suffix in (".js", ".css", ".svg")
    }


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_a_module_is_short_and_imports_what_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") < LONGEST
    assert text.startswith("// "), "it says what it is"
    assert {name for name in _IMPORT.findall(text) if not (FOLDER / name).is_file()} == set()
    assert "innerHTML" not in text
    assert "eval(" not in text


def test_the_page_names_its_own_files_alone() -> None:
    text = (FOLDER / "index.html").read_text(encoding="utf-8")
    named = re.findall(r'(?:src|href)="(/[^"]+)"', text)
    assert named
    assert {one for one in named if one not in ASSETS} == set()
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", text)


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_no_file_names_another_host(path: Path) -> None:
    names = set(_ELSEWHERE.findall(path.read_text(encoding="utf-8")))
    assert names <= {"http://www.w3.org"}, "a namespace is no address"


def test_the_policy_lets_a_browser_run_these_files_alone() -> None:
    policy = dict(part.split(" ", 1) for part in HEADERS["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*"} & set(" ".join(policy.values()).split())
