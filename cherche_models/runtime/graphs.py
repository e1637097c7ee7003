"""Small batches on CUDA as recorded graphs, where they are faster, as measured.

A query has a dozen tokens. A GPU computes each of an encoder's hundred operations sooner than they are launched one
after another; a CUDA graph launches them at once (CUDA C++ programming guide, "CUDA Graphs"; `torch.cuda.CUDAGraph`).
A graph reads and writes fixed memory, so that there is one for each of a few shapes, which batches are padded to.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, product
from typing import Protocol

import torch
from torch import Tensor

from cherche_models.backbone import Backbone

WIDTHS = (16, 32, 64)
"""Tokens of a row; longer batches keep a GPU busy without graphs."""
ROWS = (1, 2, 4, 8)
TOLERANCES = {torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 1e-2}
"""Of the largest hidden state: what a replayed graph may differ by. Masked attention has other kernels."""
_WARM, _ROUNDS = 3, 5
_RECORDING = threading.Lock()
"""A process records one graph at a time (`torch.cuda.graph`)."""
Pass = Callable[[Tensor, Tensor], Tensor]
"""Ids and mask, shape (batch, length), to hidden states."""


class Recorded(Protocol):
    """A pass over fixed memory."""

    output: Tensor

    def replay(self) -> None:
        """Compute `output` from what lies in the memory that was recorded."""
        ...


Record = Callable[[Pass, Tensor, Tensor], Recorded]


class CudaGraph:
    """A pass that CUDA recorded.

    Parameters
    ----------
    run : callable
    ids, mask : int64 tensors, shape (batch, length)
        Memory that each replay reads.

    Raises
    ------
    RuntimeError
        If the pass waits for the GPU, or does anything else that cannot be recorded.
    """

    def __init__(self, run: Pass, ids: Tensor, mask: Tensor) -> None:
        # A thread's current device is the first one, whichever the model is on, and so is that of the stream that
        # torch records on by itself: of a pass on another device it would record nothing.
        with _RECORDING, torch.cuda.device(ids.device):
            beside = torch.cuda.Stream(ids.device)  # type: ignore[no-untyped-call]
            beside.wait_stream(torch.cuda.current_stream(ids.device))
            with torch.cuda.stream(beside):  # libraries allocate what they need before a graph is recorded
                for _ in range(_WARM):
                    run(ids, mask)
            torch.cuda.current_stream(ids.device).wait_stream(beside)
            self._graph = torch.cuda.CUDAGraph()
            # Other threads may go on to use the GPU.
            with torch.cuda.graph(self._graph, stream=beside, capture_error_mode="thread_local"):
                self.output = run(ids, mask)

    def replay(self) -> None:
        """Launch all operations of the pass."""
        self._graph.replay()


@dataclass(frozen=True, slots=True)
class _Shape:
    ids: Tensor
    mask: Tensor
    recorded: Recorded

    def hidden_states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Those of a batch that fits."""
        rows, width = ids.shape
        _fill(self.ids, self.mask, ids, mask)
        self.recorded.replay()
        # The next replay writes to the same memory.
        return self.recorded.output[:rows, :width].clone()


class Graphs:
    """Recorded passes of an encoder, one for each shape of small batches.

    Parameters
    ----------
    backbone : Backbone
    record : callable
        Records a pass; other than `CudaGraph` in tests.

    Attributes
    ----------
    reason : str
        What was measured of the last shape that was recorded, or why there are no graphs; empty before.
    """

    def __init__(self, backbone: Backbone, record: Record = CudaGraph) -> None:
        self._backbone, self._record = backbone, record
        self._lock = threading.Lock()
        self._shapes: dict[tuple[int, int], _Shape | None] = {}
        self._weights: tuple[int, ...] = ()
        self.reason = ""

    def hidden_states(self, ids: Tensor, mask: Tensor) -> Tensor | None:
        """Hidden states of a batch, shape (batch, length, hidden); None where it has to run without a graph.

        Parameters
        ----------
        ids, mask : int64 tensors, shape (batch, length)
        """
        rows, width = ids.shape
        shape = shape_of(rows, width)
        if shape is None or shape[1] > self._backbone.max_length or not self._runs():
            return None
        with self._lock:
            self._forget_other_weights()
            if shape not in self._shapes:
                self._shapes[shape] = self._recorded(ids, mask, shape)
            found = self._shapes[shape]
            return None if found is None else found.hidden_states(ids, mask)

    def measured(self) -> str:
        """`reason`, by a query of the shortest shape if there was none yet."""
        if not self.reason:
            one = torch.ones((1, WIDTHS[0]), dtype=torch.int64, device=self._backbone.device)
            self.hidden_states(one, one)
        return self.reason

    def _runs(self) -> bool:
        # Autocast keeps copies of weights until its block ends: a graph would go on to read their memory.
        casts = torch.is_autocast_enabled(self._backbone.device.type)
        return torch.is_inference_mode_enabled() and not self._backbone.training and not casts

    def _forget_other_weights(self) -> None:
        """A graph reads the memory that the weights and buffers had when it was recorded."""
        held = chain(self._backbone.parameters(), self._backbone.buffers())
        weights = tuple(tensor.data_ptr() for tensor in held)
        if weights != self._weights:
            self._shapes.clear()
            self._weights = weights

    def _recorded(self, ids: Tensor, mask: Tensor, shape: tuple[int, int]) -> _Shape | None:
        """Record a pass, and keep it if it computes the same, faster."""
        held_ids, held_mask = (torch.zeros(shape, dtype=torch.int64, device=ids.device) for _ in range(2))
        # Recorded with other tokens than it is compared by: a graph without operations leaves its output as it was.
        held_mask[:, 0] = 1
        try:
            own = _Shape(held_ids, held_mask, self._record(self._backbone, held_ids, held_mask))
        except RuntimeError as error:
            self.reason = f"no CUDA graph of {shape[0]} x {shape[1]} tokens: {' '.join(str(error).split())[:200]}"
            self._shapes.update(dict.fromkeys(product(ROWS, WIDTHS)))  # what cannot be recorded once never can
            return None
        # Times of each contain the wait for the GPU.
        plain, graph = _fastest(lambda: self._backbone(ids, mask)), _fastest(lambda: own.hidden_states(ids, mask))
        wanted, found = self._backbone(ids, mask), own.hidden_states(ids, mask)
        real = mask.bool()
        apart = float((found[real] - wanted[real]).abs().max() / wanted[real].abs().max())
        if not apart <= TOLERANCES.get(wanted.dtype, 0.0):
            self.reason = f"no CUDA graph of {shape[0]} x {shape[1]} tokens: it differs by {apart:.1e}"
            return None
        self.reason = f"a CUDA graph of {shape[0]} x {shape[1]} tokens is {plain / graph:.1f} times as fast as launches"
        return own if graph < plain else None


def shape_of(rows: int, width: int) -> tuple[int, int] | None:
    """The smallest shape that a batch fits in; None for a large batch, or an empty one.

    >>> shape_of(3, 17), shape_of(9, 17), shape_of(1, 65)
    ((4, 32), None, None)
    """
    if not rows or not width:
        return None
    fitting = [next((size for size in sizes if size >= own), 0) for sizes, own in ((ROWS, rows), (WIDTHS, width))]
    return (fitting[0], fitting[1]) if all(fitting) else None


def _fill(held_ids: Tensor, held_mask: Tensor, ids: Tensor, mask: Tensor) -> None:
    """Write a batch into the memory of a graph; each further row attends to one token, as to none gives NaN."""
    rows, width = ids.shape
    held_ids.zero_()
    held_mask.zero_()
    held_mask[:, 0] = 1
    held_ids[:rows, :width] = ids
    held_mask[:rows, :width] = mask


def _fastest(run: Callable[[], Tensor]) -> float:
    """Seconds of the fastest of some passes, each until its output has come from the GPU."""
    times = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        run()[0, 0, 0].item()
        times.append(time.perf_counter() - started)
    return min(times)
