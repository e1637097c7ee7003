"""What a figure was measured on: processor, its flags, versions; no host name."""

from __future__ import annotations

import datetime
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8")
RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("torch", "transformers", "tokenizers", "sentence-transformers", "numpy", "grpcio")


def machine() -> dict[str, Any]:
    """Processor, cores, memory, versions and the load of this moment."""
    described = _cpuinfo()
    flags = described.get("flags", "").split()
    return {
        "cpu": described.get("model name", platform.processor() or platform.machine()),
        "cpu_family": described.get("cpu family", ""),
        "cpu_flags": [flag for flag in FLAGS if flag in flags],
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def keep(name: str, report: dict[str, Any], folder: Path = RESULTS) -> str:
    """The report as JSON, which ``results/NAME.json`` gets too, beside those of other kinds of CPU."""
    path, found = folder / f"{name}.json", report["machine"]
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    kept[f"{found['cpu']}, family {found['cpu_family']}"] = {"date": datetime.date.today().isoformat(), **report}
    folder.mkdir(exist_ok=True)
    path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    return json.dumps(report, indent=2)


def _cpuinfo() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    first = path.read_text(encoding="utf-8", errors="replace").split("\n\n", maxsplit=1)[0]
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
