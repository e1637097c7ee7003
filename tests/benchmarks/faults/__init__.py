"""What breaks, and what happens to documents and searches then: ``make prove SECTION=faults``.

One row for each fault: a sidecar on the embedded engine that is killed and suspended, whose disk is full, whose clock
is set and whose door others try; the cluster's engine against a cluster whose answers are tampered with; and a real
cluster that loses a node, is blocked, and whose disks fill. No row may lose a document that was acknowledged, and none
may fail without a kind. All of it runs on loopback, in some minutes.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.benchmarks.faults.answers import TAMPERINGS, tampered
from tests.benchmarks.faults.clock import clock, library
from tests.benchmarks.faults.disk import disk
from tests.benchmarks.faults.doors import handshakes, tokens
from tests.benchmarks.faults.nodes import lost_and_blocked, refusals
from tests.benchmarks.faults.row import DOCUMENTS, Row
from tests.benchmarks.faults.signals import during
from tests.benchmarks.faults.together import together

__all__ = ["measure", "rows"]


async def rows(*, processes: bool = True) -> list[Row]:
    """All rows; those with processes of their own take most of the time."""
    found = [await tampered(fault) for fault in TAMPERINGS]
    with tempfile.TemporaryDirectory() as folder:
        found += await together(Path(folder))
    if processes:
        for number in (signal.SIGKILL, signal.SIGSTOP):
            for work in ("feed", "backfill", "search"):
                with tempfile.TemporaryDirectory() as folder:
                    found.append(await during(Path(folder), f"{number.name} during {work}", number, work))
        for some in (tokens, handshakes, disk, clock, lost_and_blocked):
            with tempfile.TemporaryDirectory() as folder:
                found += await some(Path(folder))
    return found


def measure() -> dict[str, Any]:
    """The table; a row that is not sound stops the run."""
    found = asyncio.run(rows())
    show(found)
    left_out = [] if library() else ["libfaketime is not installed: no clock was set"]
    table = [{**asdict(row), "errors": sorted(set(row.errors))} for row in found]
    return {"documents": DOCUMENTS, "rows": table, "left out": left_out}


def show(found: list[Row]) -> None:
    """Print the rows; one that is not sound, or that refuses in silence, stops the run."""
    for row in found:
        print(row.fault, row.sent, row.acknowledged, row.stored, row.lost, set(row.errors), row.after, sep="  ")
    if broken := [row.fault for row in found if not row.is_sound]:
        raise SystemExit(f"not sound: {', '.join(broken)}")
    if silent := refusals(found):
        raise SystemExit(f"not reported: {', '.join(silent)}")
