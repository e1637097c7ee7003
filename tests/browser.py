"""A real Chromium on a page: what it logs, what its policy refuses, what axe-core finds."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 60_000  # milliseconds


@dataclass
class Browser:
    """A tab, and all that went wrong in it."""

    page: Any
    base: str
    said: list[str] = field(default_factory=list)

    def open(self, fragment: str = "") -> None:
        self.page.goto("about:blank")
        self.page.goto(f"{self.base}/#{fragment}")
        self.page.wait_for_selector("#index option", state="attached")

    def text(self, selector: str) -> list[str]:
        return [one.inner_text() for one in self.page.query_selector_all(selector)]

    def until(self, expression: str) -> None:
        """Wait until an expression is true. Playwright's own way makes code of text, which the policy forbids."""
        end = time.monotonic() + PATIENCE / 1000
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, f"never true: {expression}"
            self.page.wait_for_timeout(50)

    def settled(self, selector: str) -> None:
        """Wait for what is looked for, then for every column that is still being filled."""
        self.page.wait_for_selector(selector)
        self.until("!document.querySelector('[aria-busy]')")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)


@contextmanager
def browser(base: str, profile: Path, require: Callable[[str, str], None]) -> Iterator[Browser]:
    """A tab at 1280 × 900 whose console, errors and refusals of its policy are kept."""
    if shutil.which(CHROMIUM) is None:
        require("browser", f"there is no {CHROMIUM}")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        require("browser", "the Python package playwright is not installed")
    with sync_playwright() as driver:
        context = driver.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, args=list(FLAGS), viewport={"width": 1280, "height": 900}
        )
        try:
            tab = Browser(context.pages[0], base)
            tab.page.set_default_timeout(PATIENCE)
            tab.page.on("console", lambda m: tab.said.append(m.text) if m.type in ("error", "warning") else None)
            tab.page.on("pageerror", lambda error: tab.said.append(str(error)))
            yield tab
        finally:
            context.close()


def axe_source() -> Path | None:
    """axe-core as `make page-tools` installs it, or as AXE_CORE names it; None where there is none."""
    from sidecar.cluster.places import cache_folder

    cache = cache_folder(os.environ, root=os.geteuid() == 0, home=Path.home())
    places = (os.environ.get("AXE_CORE", ""), cache / "node" / "node_modules" / "axe-core" / "axe.min.js")
    return next((Path(one) for one in places if one and Path(one).is_file()), None)


def violations(tab: Browser, source: Path) -> list[str]:
    """What axe-core finds in the page as it is now, WCAG 2.2 A and AA."""
    # Its own tab of the same page would lose what is open; the policy forbids injected scripts, the debugger does not.
    tab.page.evaluate(f"{source.read_text(encoding='utf-8')}; 0")
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = tab.page.evaluate("tags => axe.run(document, { runOnly: tags })", tags)
    return [f"{one['id']}: {one['help']}: {node['html']}" for one in found["violations"] for node in one["nodes"]]
