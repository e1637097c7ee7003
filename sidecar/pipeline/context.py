"""Engine, models, clock and limits of a call to the pipeline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from cherche_models import codec, scores
from cherche_models.types import TokenEmbeddings
from sidecar.pipeline.cache import CodesCache, QueryCache
from sidecar.pipeline.pages import PageSigner
from sidecar.protocols import Encoders, Engine
from sidecar.values import limits
from sidecar.values.index import Identity

MaxSim = Callable[[TokenEmbeddings, Sequence[bytes | None]], scores.Scores]


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one call.

    Attributes
    ----------
    document_bytes : int
        Largest document, as JSON.
    query_characters : int
        Longest query text.
    window : int
        Deepest hit a search may reach: rerank window, and offset + size.
    """

    document_bytes: int = limits.DOCUMENT_BYTES
    query_characters: int = limits.QUERY_CHARACTERS
    window: int = limits.DEEPEST_HIT


@dataclass(frozen=True, slots=True)
class Context:
    """Engine, models, clock and limits of one call.

    Attributes
    ----------
    engine : Engine
        Already acting for the caller; see `for_caller`.
    encoders : Encoders
    signer : PageSigner
    clock : callable
        Monotonic seconds.
    deadline : float or None
        On that clock.
    maxsim : callable
        As `codec.maxsim`, on the device of the sidecar.
    sleep : callable
        Waits so many seconds of that clock.
    codes_cache : CodesCache
        Of texts that were encoded for a rerank; shared by all calls.
    query_cache : QueryCache
        Of encoded queries; shared by all calls. Keeps nothing unless told how much.
    """

    engine: Engine
    encoders: Encoders
    signer: PageSigner
    clock: Callable[[], float] = time.monotonic
    deadline: float | None = None
    limits: Limits = field(default_factory=Limits)
    maxsim: MaxSim = codec.maxsim
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    codes_cache: CodesCache = field(default_factory=CodesCache)
    query_cache: QueryCache = field(default_factory=QueryCache)

    def for_caller(self, identity: Identity, timeout: float | None = None) -> Context:
        """The same context with a caller's credentials and the time the caller has."""
        deadline = None if timeout is None else self.clock() + timeout
        return replace(self, engine=self.engine.as_caller(identity), deadline=deadline)

    def within(self, share: float) -> Context:
        """The same context with a share of the time that is left: for work a search can do without."""
        left = self.remaining()
        return self if left is None else replace(self, deadline=self.clock() + share * left)

    def remaining(self) -> float | None:
        """Seconds left, never below 0; None without a deadline."""
        return None if self.deadline is None else max(0.0, self.deadline - self.clock())
