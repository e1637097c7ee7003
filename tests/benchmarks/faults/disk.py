"""A disk that is full: under the index, and under the checkpoint of a backfill.

Files of the process may not grow beyond some bytes (RLIMIT_FSIZE), which needs no file system of its own.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
from pathlib import Path

from sidecar.client.client import Client
from sidecar.values.index import IndexOptions
from tests.benchmarks.faults.row import DOCUMENTS, INDEX, Row, documents, feed, there
from tests.benchmarks.process import PATIENCE, PROGRAM, Process

_PAGE = 4096


async def disk(folder: Path) -> list[Row]:
    """Feed while the index's file cannot grow, and again; then a backfill whose checkpoint cannot be written."""
    process = Process(folder)
    await process.start()
    try:
        row, seen = Row("a disk that is full under the index"), set[str]()
        async with Client(process.address, timeout=60.0) as client:
            await client.setup_index(INDEX, IndexOptions())
            await feed(client, documents(DOCUMENTS // 4), row, seen)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (_PAGE, resource.RLIM_INFINITY))
            await feed(client, documents(DOCUMENTS // 4, DOCUMENTS // 4), row, seen)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            row.count(seen, await there(process.path))
            again = Row(row.fault)
            await feed(client, documents(), again, seen)
            whole = seen == await there(process.path) and len(seen) == DOCUMENTS and not again.errors
            row.after = f"with room, fed again: {'all' if whole else 'NOT ALL'} {DOCUMENTS} stored"
        return [row, await asyncio.to_thread(checkpoint, process, folder)]
    finally:
        process.kill()


def checkpoint(process: Process, folder: Path) -> Row:
    """A backfill of the command line where nothing can be written."""
    line = [sys.executable, "-c", PROGRAM, "backfill", INDEX, "--server", process.address, "--json"]
    done = subprocess.run(
        line,
        cwd=folder,
        env={**process.environment, "CHERCHE_LIMITS__DEADLINE": str(PATIENCE)},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )
    row = Row("a disk that is full under a backfill's checkpoint", exit_code=done.returncode)
    last = done.stderr.splitlines()[-1] if done.stderr else ""
    try:
        error = json.loads(last)["error"]
    except (ValueError, KeyError):
        row.errors.append("INTERNAL")
        row.after = f"NO TYPED ERROR: {last}"
    else:
        row.errors.append(error["code"])
        row.after = f"{error['reason']} — {error['next_step']}"
    return row
