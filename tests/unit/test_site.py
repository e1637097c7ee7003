"""The documentation: every link leads somewhere, every page is in the site, and the site builds without a warning."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import site

FOLDERS = ("sidecar/docs", "cherche_models/docs")
_HEADING = re.compile(r"^#{1,4} (.+)$")
_LOADED = re.compile(
    r"""(?:src|<link[^>]*href)=["']?(?:https?:)?//[^"'> ]*|@import[^;]*//[^;]*|url\(["']?(?:https?:)?//"""
)


def anchors(text: str) -> set[str]:
    """What links may name after a "#": headings of the first four levels, as GitHub and MyST make them."""
    fenced, found = False, set()
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        if not fenced and (heading := _HEADING.match(line)):
            found.add(re.sub(r"[^\w\- ]", "", heading[1].lower()).replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", site.NAMES)
def test_every_link_leads_to_a_file_and_every_anchor_to_a_heading(page: str) -> None:
    text = (site.ROOT / page).read_text(encoding="utf-8")
    for line, found in site.links(text):
        if site.is_outside(found[2]):
            continue
        target, anchor = site.target_of(page, found[2])
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{page}:{line}: {found[2]}"


def test_a_link_that_leads_nowhere_is_named_by_page_and_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home.md").write_text("# Home\n\n[gone](gone.md), [outside](../../etc) and `[code](code.md)`\n")
    monkeypatch.setattr(site, "ROOT", tmp_path)
    monkeypatch.setattr(site, "HOME", "home.md")
    monkeypatch.setattr(site, "NAMES", {"home.md": "index"})
    with pytest.raises(site.BrokenLink) as refused:
        site.stage(tmp_path)
    assert str(refused.value).splitlines() == [
        "home.md:3: gone.md leads nowhere",
        "home.md:3: ../../etc leads nowhere",
    ]


def test_links_become_names_of_the_site(tmp_path: Path) -> None:
    site.stage(tmp_path)
    home = (tmp_path / "index.md").read_text(encoding="utf-8")
    assert "[ten minutes](ten-minutes.md)" in home
    assert "(overview.md#five-minutes-with-three-documents)" in home
    capacity = (tmp_path / "capacity.md").read_text(encoding="utf-8")
    assert "(files/tests/benchmarks/results/shipped.json)" in capacity
    assert (tmp_path / "files/tests/benchmarks/results/shipped.json").is_file()


def test_every_page_is_in_the_site() -> None:
    pages = {str(path.relative_to(site.ROOT)) for folder in FOLDERS for path in (site.ROOT / folder).glob("*.md")}
    assert pages <= site.NAMES.keys()
    assert len(set(site.NAMES.values())) == len(site.NAMES)


def test_tests_that_the_page_on_security_names_are_there() -> None:
    text = (site.ROOT / "sidecar/docs/security.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:unit|integration|property|e2e)/[^`]+)`", text)
    assert len(named) >= 10
    assert [name for name in named if not (site.ROOT / "tests" / name).exists()] == []


@pytest.mark.timeout(600)
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(
    tmp_path: Path, require: Callable[[str, str], None]
) -> None:
    if not all(map(importlib.util.find_spec, ("sphinx", "myst_parser", "furo"))):
        require("docs", "the dependency group docs is not installed")
    command = [sys.executable, "-m", "tests.site", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=site.ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for name in site.NAMES.values():
        assert (tmp_path / "site" / f"{name}.html").is_file()
    texts = [path for path in (tmp_path / "site").rglob("*") if path.suffix in {".html", ".css"}]
    loaded = {found[0] for path in texts for found in _LOADED.finditer(path.read_text(encoding="utf-8"))}
    assert loaded == set()
