from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from cherche_models.runtime import threads

APART = """
import threading
import numpy as np
import torch
from cherche_models import hub
from cherche_models.runtime import threads

torch.set_num_threads(2)
model = hub.load("cherche-tiny", device="cpu", dtype="fp32")
texts = [f"{'a red car and a blue one ' * (n % 40)} number {n}" for n in range(60)] + ["", "car"]
with threads.one():
    alone = [model.encode([text], "document")[0] for text in texts]
threads.share(8)
assert threads.workers() == 2 and torch.get_num_threads() == 1
threads.share(1)
assert threads.workers() == 2, "the first call counts"
seen = set()
infer = model.infer
def noted(batch, kind):
    seen.add((threading.current_thread().name, torch.get_num_threads()))
    return infer(batch, kind)
model.infer = noted
for one, other in zip(alone, model.encode(texts, "document"), strict=True):
    assert np.array_equal(one.weights.ids, other.weights.ids)
    assert np.array_equal(one.weights.weights, other.weights.weights)
    assert np.array_equal(one.embeddings.vectors, other.embeddings.vectors)
assert {name.partition("_")[0] for name, _ in seen} == {"encode"} and {count for _, count in seen} == {1}
model.encode(texts[:2], "query")
threads.together()
assert torch.get_num_threads() == 2
"""

FORKED = """
import os
import signal
import torch
from cherche_models.runtime import threads

torch.set_num_threads(2)
threads.share(2)
assert list(threads.each(abs, [-1, -2])) == [1, 2]
held = threads._CHANGING
held.acquire()  # as if another thread were in it
child = os.fork()
if not child:
    signal.alarm(60)  # ends a child that waits
    threads.limit(1)
    os._exit(0 if list(threads.each(abs, [-1, -2])) == [1, 2] and threads.workers() == 1 else 1)
held.release()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert threads.workers() == 2
"""


@pytest.fixture(autouse=True)
def four() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def test_a_limit_only_lowers() -> None:
    threads.limit(8)
    assert torch.get_num_threads() == 4
    threads.limit(3)
    assert torch.get_num_threads() == 3


def test_a_thread_that_begins_later_has_the_limit() -> None:
    with threads.one():
        pass
    threads.limit(2)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 2


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_SHARED", [])
    threads.share(3)


def test_one_thread_for_a_block() -> None:
    def work() -> int:
        with threads.one():
            return 1 // (torch.get_num_threads() - 1)

    with pytest.raises(ZeroDivisionError):
        work()
    assert torch.get_num_threads() == 4


def test_parts_are_computed_side_by_side_and_come_in_their_order(shared: None) -> None:
    assert threads.workers() == 3
    met = threading.Barrier(3)

    def work(part: int) -> tuple[int, int]:
        met.wait(60)  # until there are three of them
        return part, torch.get_num_threads()

    assert list(threads.each(work, [3, 1, 2])) == [(3, 1), (1, 1), (2, 1)]


def test_parts_have_one_thread_whatever_others_get_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_SHARED", [])
    begun: list[int] = []
    threads.share(2, lambda: begun.append(threading.get_native_id()))
    threads.together()
    assert torch.get_num_threads() == 2
    assert len(set(begun)) == 2
    met = threading.Barrier(2)

    def work(part: int) -> int:
        met.wait(60)
        return torch.get_num_threads()

    assert list(threads.each(work, [1, 2])) == [1, 1]


def test_the_first_error_is_raised(shared: None) -> None:
    with pytest.raises(ZeroDivisionError):
        list(threads.each(lambda part: 1 // part, [1, 0, 2]))
    assert list(threads.each(lambda part: 1 // part, [1])) == [1]


def test_before_anything_is_shared_parts_are_computed_by_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_SHARED", [])
    threads.together()
    assert threads.workers() == 1
    assert list(threads.each(lambda part: (part, torch.get_num_threads()), [1, 2])) == [(1, 4), (2, 4)]


def test_a_text_has_the_same_bits_whichever_thread_encodes_it() -> None:
    """In a process of its own, as threads keep the number that they began with."""
    done = subprocess.run([sys.executable, "-c", APART], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes of this platform do not fork")
def test_a_child_that_is_forked_waits_for_no_thread_of_its_parent() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
