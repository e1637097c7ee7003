"""A messy index of 20,000 documents through its whole life: ``python -m tests.benchmarks.prove messy``.

The same stages and checks as `tests/integration/opensearch/test_messy.py` has with 2,000, see `tests.messy.life`;
MESSY_DOCUMENTS sets another size.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from tests.messy.life import live

DOCUMENTS = 20_000


def measure() -> dict[str, Any]:
    """All counts by stage, on OPENSEARCH_URL or a cluster of one node; printed as a table too."""
    from tests.benchmarks.prove import cluster_url

    wanted = int(os.environ.get("MESSY_DOCUMENTS", DOCUMENTS))
    with cluster_url() as url:
        counts = asyncio.run(live(url, wanted))
    for stage, found in counts.items():
        for name, value in found.items():
            print(f"{stage:<12} {name:<28} {_shown(value)}")
    return {"asked_for": wanted, "stages": counts}


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return "; ".join(map(_shown, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
