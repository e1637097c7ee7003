"""Pictures of the page for the README: ``python -m tests.pictures [FOLDER]``, or ``make pictures``.

A real Chromium on the embedded engine and the shipped model, at one size and in light colours. The index of Python's
standard library, and of SciFact's first abstracts where CHERCHE_TEST_DATA has them, is made in FOLDER and used again
if it is there.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from cherche_models.evaluate.searches import FURTHER, SEARCHES
from sidecar.demo.corpus import standard_library
from sidecar.values.documents import SourceDocument
from tests.browser import Browser, browser
from tests.served import Indices, Site, serving

PICTURES = Path(__file__).with_name("pictures")
MODEL = "cherche-small"
LARGEST = 150_000  # bytes
PYTHON, SCIFACT = "python", "scifact"
ABSTRACTS = 400
"""Of SciFact."""
QUESTIONS = {PYTHON: "show differences between two files", SCIFACT: "Autophagy declines in aged organisms."}
CARDS = {"What the modes are worth": "Measure the modes", "Tune from these": "Find better settings"}
TOKENS = {PYTHON: "differ", SCIFACT: "aged"}
"""Of each question, whose answer in the text is shown."""


def main() -> None:
    """Make them all."""
    given = sys.argv[1:]
    with nullcontext(given[0]) if given else tempfile.TemporaryDirectory(prefix="cherche-pictures-") as folder:
        root = Path(folder)
        root.mkdir(parents=True, exist_ok=True)
        indices = _indices()
        with (
            serving(root, indices, model=MODEL) as site,
            tempfile.TemporaryDirectory() as profile,
            browser(site.url, Path(profile), _required) as tab,
        ):
            tab.page.add_init_script("if (location.protocol !== 'about:') localStorage.setItem('theme', 'light')")
            for index in indices:
                prefix = "" if index == PYTHON else f"{index}-"
                _search(tab, index, prefix)
                _why(tab, prefix, TOKENS[index])
            _judge(tab, site)
            _tune(tab)
            _index(tab)
            assert tab.said == [], tab.said


def _indices() -> Indices:
    indices: Indices = {PYTHON: [SourceDocument(one.id, one.to_bytes()) for one in standard_library()]}
    corpus = Path(os.environ.get("CHERCHE_TEST_DATA", "")) / SCIFACT / "corpus.jsonl"
    if corpus.is_file():
        indices[SCIFACT] = _lines(corpus)
    return indices


def _lines(corpus: Path) -> Iterator[SourceDocument]:
    with corpus.open(encoding="utf-8") as lines:
        for line in islice(lines, ABSTRACTS):
            one = json.loads(line)
            yield SourceDocument(one["_id"], json.dumps({"title": one["title"], "text": one["text"]}).encode())


def _search(tab: Browser, index: str, prefix: str) -> None:
    query = QUESTIONS[index]
    tab.page.set_viewport_size({"width": 1280, "height": 860})
    tab.open(f"index={index}&q={query}")
    tab.page.wait_for_selector(".lines path", state="attached")
    tab.page.locator(".hits").nth(1).locator(".hit").first.hover()
    _save(tab, f"{prefix}search.png")


def _why(tab: Browser, prefix: str, token: str) -> None:
    tab.page.locator(".hits").nth(1).locator(".hit-title").first.press("Enter")
    tab.page.wait_for_selector(".heat")
    tab.page.locator(".token", has_text=token).first.press("Enter")
    _save(tab, f"{prefix}why.png", tab.page.locator("dialog"))
    tab.press("Escape")


def _judge(tab: Browser, site: Site) -> None:
    """The demo's own searches, whose answers are known, judged as somebody would who knows them."""
    for search in (*SEARCHES, *FURTHER):
        for id in search.targets:
            site.ask("judge", {"index": PYTHON, "query": search.text, "id": id, "grade": 3})
    tab.open(f"panel=judge&index={PYTHON}&q={QUESTIONS[PYTHON]}")
    tab.page.wait_for_selector(".judge-hit")
    for place, key in enumerate("2000", 1):
        tab.press(key)
        tab.page.wait_for_selector(f".judge-hit:nth-child({place}) .grade[aria-pressed=true]")
    tab.page.wait_for_load_state("networkidle")
    for title, label in CARDS.items():
        card = tab.page.locator(".judge-side section", has_text=title)
        card.get_by_role("button", name=label).press("Enter")
        card.locator("table").wait_for()
    _save(tab, "judge.png")


def _tune(tab: Browser) -> None:
    tab.open(f"panel=tune&index={PYTHON}&q={QUESTIONS[PYTHON]}")
    tab.page.wait_for_selector(".tune .hit")
    for _ in range(4):
        tab.page.press("#tune-weight", "ArrowRight")
    _save(tab, "tune.png")


def _index(tab: Browser) -> None:
    tab.open(f"panel=index&index={PYTHON}")
    tab.page.wait_for_selector(".jobs .said")
    _save(tab, "index.png")


def _save(tab: Browser, name: str, element: Any = None) -> None:
    """A screenshot with the colours that it needs: its text and bars are a few plain ones."""
    PICTURES.mkdir(exist_ok=True)
    path = PICTURES / name
    tab.page.wait_for_timeout(400)  # the end of transitions
    (element or tab.page).screenshot(path=path)
    Image.open(path).convert("RGB").quantize(256, kmeans=1, dither=Image.Dither.NONE).save(path, optimize=True)
    size = path.stat().st_size
    assert size < LARGEST, f"{name} has {size:,} bytes"
    print(f"{name}: {size:,} bytes")


def _required(name: str, reason: str) -> None:
    raise SystemExit(f"{name}: {reason}")


if __name__ == "__main__":
    main()
