"""From `cherche demo --keep` to the first hit in a browser, with the environment there and nothing of the demo kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.browser import browser

ARGUMENTS = ("demo", "--keep", "--no-open", "--quiet")
MOST = 60.0
"""Seconds that a newcomer is promised to wait at most."""


def measure() -> dict[str, Any]:
    """Seconds from the command to the page's address, and to the first hit that Chromium shows."""
    with tempfile.TemporaryDirectory(prefix="cherche-first-hit-") as folder:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CHERCHE_")}
        environment |= {"XDG_DATA_HOME": folder, "CHERCHE_METRICS__PORT": "-1"}
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "sidecar.cli", *ARGUMENTS], env=environment, stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            if not address:
                raise SystemExit(f"cherche demo ended with {process.wait()} before it said where the page is")
            served = time.monotonic() - started
            base, _, fragment = address.partition("/#")
            with browser(base, Path(folder) / "profile", _required) as tab:
                tab.page.goto(f"{base}/#{fragment}")
                tab.page.wait_for_selector(".hit")
                first = time.monotonic() - started
                titles = tab.text(".hit-title")[:3]
                said = tab.text(".notice")
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()
    return {
        "command": f"cherche {' '.join(ARGUMENTS)}",
        "seconds_to_the_address": round(served, 1),
        "seconds_to_the_first_hit": round(first, 1),
        "promised": MOST,
        "first_hits": titles,
        "said": said,
    }


def _required(name: str, reason: str) -> None:
    raise SystemExit(f"{name}: {reason}")
