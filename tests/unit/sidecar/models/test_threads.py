"""Threads: what cgroups allow, and MaxSim in one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from sidecar.models import threads
from sidecar.models.threads import cpus

IN_POD = "0::/\n"
NESTED = "0::/user.slice/job.scope\n"
OLDER = "12:pids:/a\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/\n"


def machine(root: Path, groups: str, files: Mapping[str, str]) -> Path:
    written = {"proc/self/cgroup": groups, **{f"sys/fs/cgroup/{name}": text for name, text in files.items()}}
    for name, text in written.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        (IN_POD, {"cpu.max": "200000 100000\n"}, 2),
        (IN_POD, {"cpu.max": "150000 100000\n"}, 2),
        (IN_POD, {"cpu.max": "20000 100000\n"}, 1),
        (IN_POD, {"cpu.max": "max 100000\n"}, 8),
        (IN_POD, {"cpu.max": "9900000 100000\n"}, 8),
        (IN_POD, {}, 8),
        (NESTED, {"user.slice/job.scope/cpu.max": "max 100000", "user.slice/cpu.max": "300000 100000"}, 3),
        (NESTED, {"user.slice/job.scope/cpu.max": "100000 100000", "user.slice/cpu.max": "300000 100000"}, 1),
        (OLDER, {"cpu/docker/abc/cpu.cfs_quota_us": "400000", "cpu/docker/abc/cpu.cfs_period_us": "100000"}, 4),
        (OLDER, {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "50000"}, 2),
        (OLDER, {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ("", {}, 8),
        ("nonsense\n0:\n", {"cpu.max": "nonsense"}, 8),
    ],
)
def test_the_tightest_quota_counts(tmp_path: Path, groups: str, files: Mapping[str, str], expected: int) -> None:
    assert cpus(machine(tmp_path, groups, files)) == expected


def test_a_machine_without_cgroups_has_the_cpus_it_may_run_on(tmp_path: Path) -> None:
    assert cpus(tmp_path) == 8


WORK = """
import json
import numpy as np
from threadpoolctl import threadpool_info
from sidecar.models.threads import one_for_maxsim
one_for_maxsim()
np.ones((8, 8), np.float32) @ np.ones((8, 8), np.float32)
print(json.dumps([pool["num_threads"] for pool in threadpool_info() if pool["internal_api"] == "openblas"]))
"""


def test_numpy_multiplies_in_one_thread() -> None:
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True, env=env, check=True)
    assert set(json.loads(done.stdout)) <= {1}  # none where numpy has another BLAS


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for each thread")
def test_a_thread_that_gives_way_and_those_that_it_begins_come_after_the_others() -> None:
    found: list[int] = []

    def read() -> None:
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    def work() -> None:
        threads.give_way()
        read()
        begun = threading.Thread(target=read)
        begun.start()
        begun.join()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert found == [min(19, own + threads.GIVES_WAY)] * 2


def test_a_priority_that_is_refused_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse, raising=False)
    threads.give_way()
