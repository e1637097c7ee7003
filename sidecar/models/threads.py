"""How many threads the work may have: the process's share of the machine for models, one for MaxSim."""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

GIVES_WAY = 5
"""Steps of Linux's 40 priorities: about a quarter of a core where another thread wants it too."""
_ROOT = Path("/")
_GROUPS = "sys/fs/cgroup"


def cpus(root: Path = _ROOT) -> int:
    """CPUs this process may use at once: those it may run on, or what the quotas of its cgroups come to if less.

    Parameters
    ----------
    root : Path
        Folder that holds ``proc`` and ``sys``.
    """
    # sched_getaffinity is missing on macOS.
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *(math.ceil(quota) for quota in _quotas(root))]))


def one_for_maxsim() -> None:
    """Let numpy's BLAS work in the calling thread alone, from now on in the whole process.

    A window of a hundred documents is 2 ms of one core, and OpenBLAS's other threads spin for longer than that after
    each multiplication. Searches that are answered at the same time have threads of their own anyway.
    """
    from threadpoolctl import ThreadpoolController

    ThreadpoolController().select(internal_api="openblas").limit(limits=1)


def give_way() -> None:
    """Let the process's other threads go before the calling one, and before those that it begins, from now on.

    Only Linux has a priority for each thread, and a sandbox may refuse it. A lower one cannot be taken back without
    privileges.
    """
    if sys.platform == "linux":
        own = threading.get_native_id()
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, own, os.getpriority(os.PRIO_PROCESS, own) + GIVES_WAY)


def _quotas(root: Path) -> Iterable[float]:
    """CPUs that each cgroup around this process allows, where it sets a limit."""
    for version, name in _memberships(root):
        folder = root / _GROUPS if version == 2 else root / _GROUPS / "cpu"
        # In a container the mount starts at the container's own group, so that the path may lead nowhere.
        for group in (folder, *(folder.joinpath(*name.parts[:depth]) for depth in range(1, len(name.parts) + 1))):
            found = _of_version_2(group) if version == 2 else _of_version_1(group)
            if found is not None:
                yield found


def _memberships(root: Path) -> Iterable[tuple[int, Path]]:
    """Version and relative path of the cgroups that may limit CPU; lines are ``hierarchy:controllers:path``."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            yield 2, Path(path.lstrip("/"))
        elif "cpu" in controllers.split(","):
            yield 1, Path(path.lstrip("/"))


def _of_version_2(group: Path) -> float | None:
    limit, _, period = _read(group / "cpu.max").partition(" ")
    return _share(limit, period)


def _of_version_1(group: Path) -> float | None:
    return _share(_read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us"))


def _share(limit: str, period: str) -> float | None:
    try:
        found = int(limit) / int(period)
    except (ValueError, ZeroDivisionError):  # "max", or no such file
        return None
    return found if found > 0 else None  # -1 is no limit


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
