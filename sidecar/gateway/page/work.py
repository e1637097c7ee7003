"""Work of many searches, in steps: it goes on only while the page asks for the next one."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from sidecar.errors import ChercheError, Code

STEP = 1.0
"""Seconds that one question works; far below a deadline, and as often as somebody looks at a count."""
MOST = 8
"""Pieces of work that wait for their next question; of more, the one that waits longest is dropped."""


@dataclass(frozen=True, slots=True)
class Done:
    """How far it is; `result` at the end alone."""

    done: int
    of: int
    result: dict[str, Any] | None = None


Steps = AsyncGenerator[Done, None]


class WorkBody(BaseModel):
    """Work that was begun, by the name that the answer gave it."""

    work: str


@dataclass(slots=True)
class Works:
    """Work that was begun and is not done. Nothing runs between two questions, so nothing is left behind by a tab
    that was closed, or to be ended with the sidecar.

    Attributes
    ----------
    clock : callable
        Monotonic seconds.
    """

    clock: Callable[[], float] = time.monotonic
    _waiting: dict[str, Steps] = field(default_factory=dict)

    async def begin(self, steps: Steps) -> dict[str, Any]:
        """Take the first steps.

        Returns
        -------
        dict
            ``result`` where it is done; else ``work``, which `proceed` takes, ``done`` and ``of``.
        """
        return await self._advance(secrets.token_urlsafe(16), steps)

    async def proceed(self, body: WorkBody) -> dict[str, Any]:
        """Take further steps.

        Raises
        ------
        ChercheError
            NOT_FOUND for work that is not waiting; whatever the steps raise, which ends them.
        """
        steps = self._waiting.pop(body.work, None)
        if steps is None:
            raise ChercheError(Code.NOT_FOUND, "this work is not waiting: the sidecar dropped it", "begin it again")
        return await self._advance(body.work, steps)

    async def _advance(self, name: str, steps: Steps) -> dict[str, Any]:
        end = self.clock() + STEP
        async for step in steps:
            if step.result is not None:
                await steps.aclose()
                return {"result": step.result}
            if self.clock() >= end:
                self._waiting[name] = steps
                while len(self._waiting) > MOST:
                    await self._waiting.pop(next(iter(self._waiting))).aclose()
                return {"work": name, "done": step.done, "of": step.of}
        raise AssertionError("steps end with a result")
