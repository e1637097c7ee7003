"""Data-parallel training: each process encodes its part of the global batch; all compute the loss of the whole batch.

Every process reads the same global batch, encodes its part of the texts, and
gathers the outputs of the others. In-batch negatives therefore come from all
processes, duplicates among them are masked, and the summed gradient equals that
of a single process.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from cherche_models.models.base import Output

T = TypeVar("T")
_BUCKET = 1 << 24


class Processes:
    """A single process.

    Attributes
    ----------
    count, rank : int
    """

    count: int = 1
    rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process reports and saves."""
        return self.rank == 0

    def part(self, size: int) -> slice:
        """The rows of this process, of `size` rows split in the order of ranks.

        >>> Processes().part(5)
        slice(0, 5, None)
        """
        return slice(self.rank * size // self.count, (self.rank + 1) * size // self.count)

    def gather(self, output: Output, size: int) -> Output:
        """Outputs of all processes in the order of ranks, `size` rows; detached."""
        return output

    def sum(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over the processes."""

    def share(self, value: T) -> T:
        """The first process's value."""
        return value

    def align(self, module: nn.Module) -> None:
        """Copy the first process's weights to all processes."""


class Accelerated(Processes):
    """Processes started by torchrun, communicating through accelerate: gloo on CPUs, NCCL on GPUs."""

    def __init__(self) -> None:
        from accelerate import PartialState

        self._state: Any = PartialState(cpu=not torch.cuda.is_available())
        self.count = int(self._state.num_processes)
        self.rank = int(self._state.process_index)

    def gather(self, output: Output, size: int) -> Output:
        """Outputs of all processes in the order of ranks, `size` rows; detached."""
        return Output(*(None if field is None else self._rows(field, size) for field in output))

    def sum(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over the processes, in buckets."""
        from accelerate.utils import reduce

        for bucket in _buckets(tensors):
            flat: Tensor = reduce(torch.cat([tensor.reshape(-1) for tensor in bucket]), reduction="sum")
            start = 0
            for tensor in bucket:
                tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
                start += tensor.numel()

    def share(self, value: T) -> T:
        """The first process's value."""
        from accelerate.utils import broadcast_object_list

        shared: list[T] = broadcast_object_list([value])
        return shared[0]

    def align(self, module: nn.Module) -> None:
        """Copy the first process's weights to all processes."""
        from accelerate.utils import broadcast

        for parameter in module.parameters():
            parameter.data.copy_(broadcast(parameter.data.clone()))

    def _rows(self, field: Tensor, size: int) -> Tensor:
        """Gathered rows, padded with zeros to the longest of all processes."""
        from accelerate.utils import gather, pad_across_processes

        sent = field.detach().to(torch.uint8) if field.dtype is torch.bool else field.detach()
        for dim in range(2 if sent.ndim > 1 else 1):
            sent = pad_across_processes(sent, dim=dim)
        parts = gather(sent.contiguous()).chunk(self.count)
        sizes = [(rank + 1) * size // self.count - rank * size // self.count for rank in range(self.count)]
        rows = torch.cat([part[:own] for part, own in zip(parts, sizes, strict=True)])
        return rows.bool() if field.dtype is torch.bool else rows


def connected() -> Processes:
    """The processes started by torchrun, or this process alone."""
    return Accelerated() if int(os.environ.get("WORLD_SIZE", "1")) > 1 else Processes()


def _buckets(tensors: Iterable[Tensor]) -> Iterable[list[Tensor]]:
    bucket: list[Tensor] = []
    for tensor in tensors:
        bucket.append(tensor)
        if sum(held.numel() for held in bucket) >= _BUCKET:
            yield bucket
            bucket = []
    if bucket:
        yield bucket
