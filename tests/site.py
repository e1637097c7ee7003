"""``make docs``: the documentation as a static site, in ``build/docs``; it loads nothing from elsewhere.

The pages stay where they are read in the repository. `stage` copies them into one folder under the names of `PAGES`,
with their links turned to those names, and Sphinx builds that folder: a warning is an error. A link to a file that is
no page becomes a download, one to a folder plain text.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from sidecar import __version__

ROOT = Path(__file__).parents[1]
HOME = "sidecar/docs/index.md"
PAGES: Mapping[str, Mapping[str, str]] = {
    "Start": {
        "README.md": "overview",
        "sidecar/docs/ten-minutes.md": "ten-minutes",
        "sidecar/docs/which-way-in.md": "which-way-in",
        "sidecar/docs/how-it-works.md": "how-it-works",
    },
    "Decide": {
        "sidecar/docs/choosing-a-model.md": "choosing-a-model",
        "sidecar/docs/capacity.md": "capacity",
        "sidecar/docs/benchmarks.md": "benchmarks",
        "sidecar/docs/clicks.md": "clicks",
    },
    "Run": {
        "sidecar/docs/operations.md": "operations",
        "sidecar/docs/security.md": "security",
        "sidecar/docs/traces.md": "traces",
        "opensearch/dashboards/README.md": "dashboards",
    },
    "Ways in": {
        "opensearch/plugin/README.md": "plugin",
        "opensearch/connectors/README.md": "connectors",
        "opensearch/mappings/README.md": "mappings",
        "sidecar/client/README.md": "client",
        "sidecar/adapters/README.md": "adapters",
        "protos/README.md": "grpc",
    },
    "Models": {
        "cherche_models/docs/fine-tune-on-a-laptop.md": "fine-tune-on-a-laptop",
        "cherche_models/docs/train-on-a-gpu.md": "train-on-a-gpu",
        "cherche_models/docs/from-checkpoint-to-cluster.md": "from-checkpoint-to-cluster",
        "cherche_models/docs/neural-cherche.md": "neural-cherche",
        "cherche_models/pretrained/cherche-small/README.md": "cherche-small",
        "cherche_models/pretrained/cherche-tiny/README.md": "cherche-tiny",
    },
    "Reference": {
        "sidecar/cli/REFERENCE.md": "reference",
        "CONTRIBUTING.md": "contributing",
        "CHANGELOG.md": "changelog",
    },
}
NAMES = {HOME: "index", **{source: name for pages in PAGES.values() for source, name in pages.items()}}
# Sphinx' own settings; no file of the tree is one of its configuration.
SETTINGS = {
    "project": "cherche",
    "version": __version__,
    "release": __version__,
    "extensions": ["myst_parser"],
    "myst_heading_anchors": 4,
    "myst_disable_syntax": ["footnote_ref", "footnote_inline"],  # NAME[^BOOST] is none
    "html_theme": "furo",
    "html_title": f"cherche {__version__}",
    "html_copy_source": False,
    "html_show_sourcelink": False,
    "nitpicky": True,
}
_FENCE = re.compile(r"^(```|~~~)")
_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_CODE = re.compile(r"(`+)(?:(?!\1).)+\1")
_FILES = "files"


class BrokenLink(ValueError):
    """A link of a page that leads nowhere: page, line and target."""


def links(text: str) -> Iterator[tuple[int, re.Match[str]]]:
    """Links and images of a page with the number of their line; those within code are none.

    >>> [(line, found[2]) for line, found in links("[a](b.md) and `[c](d.md)`")]
    [(1, 'b.md')]
    """
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if _FENCE.match(line):
            fenced = not fenced
        if fenced or line.startswith("    "):
            continue
        code = [match.span() for match in _CODE.finditer(line)]
        for found in _LINK.finditer(line):
            if not any(start <= found.start() < end for start, end in code):
                yield number, found


def target_of(page: str, link: str) -> tuple[Path, str]:
    """The file or folder that a relative link of a page names, and the heading in it ("" without one).

    Raises
    ------
    BrokenLink
        Where there is none, or where it lies outside the repository.
    """
    path, _, anchor = link.partition("#")
    target = ROOT / page if not path else Path(os.path.normpath((ROOT / page).parent / path))
    if not target.exists() or not target.is_relative_to(ROOT):
        raise BrokenLink(f"{link} leads nowhere")
    if target.is_dir() and str((target / "README.md").relative_to(ROOT)) in NAMES:
        target /= "README.md"
    return target, anchor


def is_outside(link: str) -> bool:
    """Whether a link names another site."""
    return link.startswith(("http://", "https://", "mailto:"))


def stage(folder: Path) -> None:
    """Write all pages into `folder`, as one site.

    Raises
    ------
    BrokenLink
        Naming every link that leads nowhere.
    """
    broken = []
    for page, name in NAMES.items():
        text, faults = _staged(page, folder)
        broken += faults
        (folder / f"{name}.md").write_text(text + (_contents() if page == HOME else ""), encoding="utf-8")
    if broken:
        raise BrokenLink("\n".join(broken))


def _staged(page: str, folder: Path) -> tuple[str, list[str]]:
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    broken = []
    for number, found in links("\n".join(lines)):
        words, link = found.groups()
        if is_outside(link):
            continue
        try:
            target, anchor = target_of(page, link)
        except BrokenLink as error:
            broken.append(f"{page}:{number}: {error}")
            continue
        lines[number - 1] = lines[number - 1].replace(found[0], _turned(words, target, anchor, folder))
    return "\n".join(lines) + "\n", broken


def _turned(words: str, target: Path, anchor: str, folder: Path) -> str:
    if target.is_dir():
        return words
    source = target.relative_to(ROOT)
    heading = f"#{anchor}" if anchor else ""
    if str(source) in NAMES:
        return f"[{words}]({NAMES[str(source)]}.md{heading})"
    copy = folder / _FILES / source
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(target, copy)
    return f"[{words}]({copy.relative_to(folder)})"


def _contents() -> str:
    return "".join(
        "\n".join(["", "```{toctree}", ":hidden:", f":caption: {title}", "", *pages.values(), "```", ""])
        for title, pages in PAGES.items()
    )


def build(out: Path) -> None:
    """Build the site; a warning of Sphinx is an error.

    Raises
    ------
    BrokenLink
        As `stage`.
    SystemExit
        Where Sphinx complains.
    """
    from sphinx.application import Sphinx

    with tempfile.TemporaryDirectory() as scratch:
        source, trees = Path(scratch) / "source", Path(scratch) / "trees"
        source.mkdir()
        stage(source)
        shutil.rmtree(out, ignore_errors=True)
        app = Sphinx(source, None, out, trees, "html", SETTINGS, status=None, warningiserror=True)
        app.build()
        if app.statuscode:
            raise SystemExit(app.statuscode)


if __name__ == "__main__":
    site = Path(sys.argv[1])
    build(site)
    print(site / "index.html")
