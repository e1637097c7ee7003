"""A clock for tests: time passes when they say so."""

from __future__ import annotations


class Clock:
    """Seconds as a test sets them; `sleep` moves them on and returns at once."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
