from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from cherche_models.runtime import threads


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


def test_one_thread_for_a_block() -> None:
    def work() -> int:
        with threads.one():
            return 1 // (torch.get_num_threads() - 1)

    with pytest.raises(ZeroDivisionError):
        work()
    assert torch.get_num_threads() == 4


def test_a_thread_that_begins_later_has_the_limit() -> None:
    with threads.one():
        pass
    threads.limit(2)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 2
