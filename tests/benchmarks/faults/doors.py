"""Callers without the token, with a wrong one, or behind a certificate that is not to be trusted."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.benchmarks.faults.row import INDEX, Row
from tests.benchmarks.process import Process


async def tokens(folder: Path) -> list[Row]:
    """The command line without a token, and with a wrong one."""
    process = Process(folder, CHERCHE_TOKEN="right")
    await process.start()
    rows = []
    try:
        for fault, token in (("no token", ""), ("a wrong token", "wrong")):
            done = await asyncio.to_thread(lambda t=token: process.cli("setup", INDEX, CHERCHE_TOKEN=t))
            row = Row(fault, exit_code=done.returncode)
            row.errors.append(json.loads(done.stderr.splitlines()[-1])["error"]["code"])
            # Asked with the right token, the index must not be there.
            asked = await asyncio.to_thread(lambda: process.cli("doctor", INDEX, CHERCHE_TOKEN="right"))
            row.after = "SET UP" if '"ok": true' in asked.stdout else "nothing was set up"
            rows.append(row)
    finally:
        process.kill()
    return rows
