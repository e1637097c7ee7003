"""When a backfill waits for its cluster: refused and queued writes, and searches that got slower.

The cluster publishes totals and no percentiles, so the p99 here is that of probe searches of our own.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from sidecar.values.maintenance import Load

PROBES = 100
NOTICEABLE = 0.005  # seconds: less is the clock's and the scheduler's
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 30.0
QUEUED_PER_THREAD = 2.0


def p99(seconds: Sequence[float]) -> float:
    """The value that 99 % of the values do not exceed (nearest rank).

    >>> p99([0.001] * 98 + [0.002, 0.003])
    0.002
    """
    ranked = sorted(seconds)
    return ranked[math.ceil(0.99 * len(ranked)) - 1]


@dataclass(slots=True)
class Latency:
    """Probe searches: `before` the backfill began, and the last hundred since.

    Attributes
    ----------
    slowdown : float
        Share by which their p99 may rise.
    before : list of float
        Seconds each.
    """

    slowdown: float
    before: list[float] = field(default_factory=list)
    since: deque[float] = field(default_factory=lambda: deque(maxlen=PROBES))

    def reason(self) -> str:
        """Why to pause; "" where searches are as fast as they were, or where too few were asked to tell."""
        if not self.before or len(self.since) < PROBES:
            return ""
        before, now = p99(self.before), p99(self.since)
        if now <= before * (1 + self.slowdown) or now - before < NOTICEABLE:
            return ""
        return f"searches are slower: p99 of probes {now * 1000:.0f} ms, {before * 1000:.0f} ms before"


@dataclass(slots=True)
class Throttle:
    """Doubles the pause before each write while the cluster refuses or queues, halves it while it does not.

    Attributes
    ----------
    pause : float
        Seconds to wait now.
    reason : str
        What the cluster said; "" where it keeps up.
    """

    pause: float = 0.0
    reason: str = ""
    _rejected: int | None = None

    def see(self, load: Load) -> None:
        """Take in what the cluster said.

        >>> throttle = Throttle()
        >>> throttle.see(Load(rejected=5, queued=0, threads=4, searches=0, search_seconds=0.0))
        >>> throttle.see(Load(rejected=6, queued=0, threads=4, searches=0, search_seconds=0.0))
        >>> throttle.pause, throttle.reason
        (0.25, 'the cluster refused 1 requests')
        """
        refused = 0 if self._rejected is None else max(0, load.rejected - self._rejected)
        self._rejected = load.rejected
        if refused:
            self._slower(f"the cluster refused {refused} requests")
        elif load.queued > QUEUED_PER_THREAD * max(1, load.threads):
            self._slower(f"{load.queued} requests wait in the cluster's queues")
        else:
            self.reason = ""
            self.pause = self.pause / 2 if self.pause > FIRST_PAUSE else 0.0

    def refused(self) -> None:
        """Our own write was refused with 429 until its retries ran out."""
        self._slower("the cluster refuses writes")

    def _slower(self, reason: str) -> None:
        self.reason = reason
        self.pause = min(max(FIRST_PAUSE, self.pause * 2), LONGEST_PAUSE)
