"""Which searches can still be answered in time, whatever they wait for: the engine's threads, a cluster, processors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sidecar.errors import overloaded

_FREE = 4
"""Searches in progress that are too few to say anything."""
_IDLE = 10.0
"""Seconds without a search after which the pace before says nothing."""
_SHARE = 0.3
"""Of the newest search in the moving average."""
_RETRY_BOUNDS = (0.1, 60.0)


class Turns:
    """Refuses a search at once where it could not end before its deadline, rather than when the deadline has passed.

    By Little's law a search takes as long as all in progress take one after another at the present pace.

    Parameters
    ----------
    clock : callable
        Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._running = 0
        self._each: float | None = None
        self._last = 0.0

    @property
    def predicted(self) -> float:
        """Seconds that a search which comes now will take; 0 while too few are in progress."""
        return 0.0 if self._each is None or self._running < _FREE else (self._running + 1) * self._each

    @contextmanager
    def taken(self, left: float | None) -> Iterator[None]:
        """Count a search as in progress.

        Parameters
        ----------
        left : float or None
            Seconds that it has.

        Raises
        ------
        ChercheError
            RESOURCE_EXHAUSTED with the predicted time.
        """
        now = self._clock()
        predicted = self.predicted
        if left is not None and predicted > left:
            reason = f"with {self._running:,} in progress a search takes {predicted:.1f} s; this one has {left:.1f} s"
            raise overloaded(reason, round(min(max(predicted, _RETRY_BOUNDS[0]), _RETRY_BOUNDS[1]), 1))
        if not self._running:
            self._each = None if now - self._last > _IDLE else self._each
            self._last = now
        self._running += 1
        try:
            yield
            self._ended()
        finally:
            self._running -= 1
            if not self._running:
                self._last = self._clock()

    def _ended(self) -> None:
        """Take note of the time since the one before: what fails or is cancelled in between makes it longer."""
        now = self._clock()
        taken, self._last = now - self._last, now
        self._each = taken if self._each is None else (1 - _SHARE) * self._each + _SHARE * taken
