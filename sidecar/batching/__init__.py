"""Texts of many callers share forward passes: lanes, token budget, bounded queue."""

from sidecar.batching.batcher import Batcher, BatchObserver, BatchOptions
from sidecar.batching.queue import LANES, Job, JobQueue, padded_tokens

__all__ = [
    "LANES",
    "BatchObserver",
    "BatchOptions",
    "Batcher",
    "Job",
    "JobQueue",
    "padded_tokens",
]
