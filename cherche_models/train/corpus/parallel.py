"""The same function over several tasks, in this process or in others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def spread(function: Callable[[Task], Result], tasks: Sequence[Task], jobs: int) -> Iterator[Result]:
    """Results in the order of the tasks.

    Parameters
    ----------
    function : callable
        Of a module, so that another process finds it, if there is more than one job.
    tasks : sequence
    jobs : int
        Processes; 1 for this one alone.
    """
    if jobs == 1:
        yield from map(function, tasks)
        return
    context = get_context("forkserver")
    context.set_forkserver_preload([function.__module__])  # so that a process need not import torch again
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        yield from pool.map(function, tasks)
