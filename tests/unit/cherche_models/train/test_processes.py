"""Two processes train as one does; a killed run goes on as if nothing had been."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from cherche_models.models import Output
from cherche_models.train.batch import assemble
from cherche_models.train.processes import Processes, _buckets, connected
from tests.unit.cherche_models.train import worker

ROOT = Path(__file__).parents[4]
WORKER = Path(__file__).with_name("worker.py")


def apart(base: Path, out: Path, *more: str, processes: int = 1) -> subprocess.CompletedProcess[str]:
    """Run the worker in processes of its own."""
    out.mkdir(exist_ok=True)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else []), str(WORKER), str(base), str(out), *more]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=240)


def here(base: Path, out: Path, *more: str) -> None:
    """Run the worker in this one."""
    out.mkdir(exist_ok=True)
    worker.main(str(base), str(out), *more)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As the others have: sums of several are rounded otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def losses(out: Path, rank: int = 0) -> list[tuple[int, dict[str, float]]]:
    return [tuple(json.loads(line)) for line in (out / f"losses{rank}.jsonl").read_text().splitlines()]


def test_two_processes_have_the_losses_and_the_weights_of_one(base: Path, tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    one, two = tmp_path / "one", tmp_path / "two"
    here(base, one, "2")
    done = apart(base, two, "2", processes=2)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(losses(two, 1)) == 6
    for (_, single), (_, first), (_, second) in zip(losses(one), losses(two), losses(two, 1), strict=True):
        assert first == second
        assert first == pytest.approx(single, rel=1e-4, abs=1e-5)
    expected, found = (torch.load(folder / "weights.pt", weights_only=True) for folder in (one, two))
    for name, value in expected.items():
        if not name.endswith("key.bias"):  # softmax does not see it: its gradient is rounding, which Adam makes large
            torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-5, msg=name)


def test_the_batch_of_two_processes_has_answers_that_must_not_be_negatives() -> None:
    """Or the test above would not see whether they are masked across processes."""
    batch = assemble(worker.EXAMPLES, worker.LOSS, worker.SETTINGS, None, 0)
    first, last = 0, len(worker.EXAMPLES) - 1
    half = Processes()
    half.count = 2
    assert half.part(len(batch.queries)) == slice(0, 3)
    column = {text: i for i, text in enumerate(batch.documents)}
    for one, other in ((first, last), (last, first)):
        assert batch.targets.masked[one, column[worker.EXAMPLES[other].positive]]
    assert len(batch.documents) % 2


def test_a_killed_run_goes_on_to_the_same_losses(base: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    here(base, whole)
    assert apart(base, killed, "0", "4").returncode == -signal.SIGKILL
    assert [step for step, _ in losses(killed)] == [0, 1, 2, 3, 4]
    here(base, killed)
    assert losses(killed)[:5] == losses(whole)[:5]
    assert losses(killed)[5:] == losses(whole)[4:]
    expected, found = (torch.load(folder / "weights.pt", weights_only=True) for folder in (whole, killed))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0, msg=name)


def test_a_process_alone_has_everything() -> None:
    alone = connected()
    assert (type(alone), alone.is_first, alone.part(7), alone.share("x")) == (Processes, True, slice(0, 7), "x")
    output = Output(torch.ones(2, 3))
    assert alone.gather(output, 2) is output


def test_parts_of_all_processes_are_the_whole() -> None:
    for size in range(9):
        parts = []
        for rank in range(4):
            one = Processes()
            one.count, one.rank = 4, rank
            parts += range(size)[one.part(size)]
        assert parts == list(range(size))


def test_gradients_are_summed_some_at_a_time() -> None:
    tensors = [torch.empty(1 << 23) for _ in range(5)]
    assert [len(bucket) for bucket in _buckets(tensors)] == [2, 2, 1]
