"""Engine, models, clock and limits of a call to the pipeline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

from cherche_models import codec, scores
from cherche_models.types import TokenEmbeddings
from sidecar.pipeline.cache import CodesCache, QueryCache
from sidecar.pipeline.pages import PageSigner
from sidecar.protocols import Encoders, Engine
from sidecar.values import limits
from sidecar.values.documents import ColdDocument
from sidecar.values.index import Identity

MaxSim = Callable[[TokenEmbeddings, Sequence[bytes | None]], scores.Scores]


class CodesWanted(Protocol):
    """Documents whose token codes are written after the search that found them; see `pipeline.on_demand`."""

    def for_caller(self, identity: Identity) -> Self | None:
        """The same; None where it has no account of its own that could write for this caller."""
        ...

    def want(self, documents: Sequence[ColdDocument]) -> None:
        """Take note, without waiting; what there is no room for is left out."""
        ...


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
    cold_documents : int
        Most hits without codes that a search encodes, where an index makes codes on demand.
    """

    document_bytes: int = limits.DOCUMENT_BYTES
    query_characters: int = limits.QUERY_CHARACTERS
    window: int = limits.DEEPEST_HIT
    cold_documents: int = limits.COLD_DOCUMENTS


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
    wanted : CodesWanted or None
        Takes note of documents whose codes are to be written; None where nobody may write them.
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
    wanted: CodesWanted | None = None

    def for_caller(self, identity: Identity, timeout: float | None = None) -> Context:
        """The same context with a caller's credentials and the time the caller has."""
        deadline = None if timeout is None else self.clock() + timeout
        wanted = self.wanted.for_caller(identity) if self.wanted is not None else None
        return replace(self, engine=self.engine.as_caller(identity), deadline=deadline, wanted=wanted)

    def within(self, share: float) -> Context:
        """The same context with a share of the time that is left: for work a search can do without."""
        left = self.remaining()
        return self if left is None else replace(self, deadline=self.clock() + share * left)

    def remaining(self) -> float | None:
        """Seconds left, never below 0; None without a deadline."""
        return None if self.deadline is None else max(0.0, self.deadline - self.clock())
