"""What all servicers share: engine, models, limits, metrics, and who is calling."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from google.protobuf.message import Message

from sidecar.config import Limits
from sidecar.errors import ChercheError, invalid
from sidecar.models.registry import Registry
from sidecar.observe.metrics import Metrics
from sidecar.pipeline import Context
from sidecar.pipeline.stream import as_completed
from sidecar.values.index import Identity
from sidecar.wire.status import CLUSTER_AUTHORIZATION

Call: TypeAlias = Any
"""grpc's context of a call; its type stubs do not know all of it."""

_MARGIN = 0.05

T = TypeVar("T")
R = TypeVar("R")
M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Services:
    """What servicers work with.

    Attributes
    ----------
    base : Context
        Engine and models, on nobody's behalf yet.
    registry : Registry
    limits : Limits
    metrics : Metrics
    may_load : bool
        Whether callers may load and unload models.
    """

    base: Context
    registry: Registry
    limits: Limits = field(default_factory=Limits)
    metrics: Metrics = field(default_factory=Metrics)
    may_load: bool = False

    def context(self, call: Call) -> Context:
        """The pipeline's context for a call: its identity and its deadline."""
        return self.base.for_caller(self.identity(call), self.remaining(call))

    def patient(self, call: Call) -> Context:
        """The context of a call that only its caller bounds: a stream, or work on a whole index."""
        return self.base.for_caller(self.identity(call), call.time_remaining())

    def remaining(self, call: Call) -> float:
        """Seconds that a unary call may take: a little less than there are, so that its answer still arrives."""
        told: float | None = call.time_remaining()
        left = self.limits.deadline if told is None else min(told, self.limits.deadline)
        return left - min(_MARGIN, left / 10)

    def identity(self, call: Call) -> Identity:
        """The cluster credentials that the caller forwards; anonymous without."""
        metadata = dict(call.invocation_metadata() or ())
        return Identity(metadata.get(CLUSTER_AUTHORIZATION) or None)

    def check_items(self, count: int) -> None:
        """Refuse a call with too many items.

        Raises
        ------
        ChercheError
            INVALID_ARGUMENT with the limit.
        """
        if count > self.limits.items:
            raise invalid(f"{count:,} items in one call, the limit is {self.limits.items:,}", "send fewer, or stream")

    def check_text(self, name: str, text: str) -> None:
        """Refuse a text that cannot be encoded.

        Raises
        ------
        ChercheError
            INVALID_ARGUMENT naming the text.
        """
        if not text.strip():
            raise invalid(f"{name} is empty", "leave it out, or give it text")
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > self.limits.document_bytes:
            raise invalid(
                f"{name} has {size:,} bytes, the limit is {self.limits.document_bytes:,}",
                "split it, or raise CHERCHE_LIMITS__DOCUMENT_BYTES on the server",
            )

    def fitting(self, response: M) -> M:
        """The response, if the caller can receive it.

        Raises
        ------
        ChercheError
            INVALID_ARGUMENT where it exceeds the message limit.
        """
        if response.ByteSize() > self.limits.request_bytes:
            raise invalid(
                f"the answer has {response.ByteSize():,} bytes, a message may have {self.limits.request_bytes:,}",
                "send fewer items per call, or stream",
            )
        return response

    async def answer_each(self, items: AsyncIterator[T], work: Callable[[T], Awaitable[R]]) -> AsyncGenerator[R, None]:
        """Answer a stream's items as they are done, reading no more than may be unanswered."""
        async with aclosing(as_completed(items, work, self.limits.stream_in_flight)) as answers:
            async for answer in answers:
                yield answer

    def count(self, method: str, errors: list[ChercheError | None], truncated: int = 0) -> None:
        """Count a call's items."""
        failed = sum(error is not None for error in errors)
        self.metrics.items.labels(method, "ok").inc(len(errors) - failed)
        self.metrics.items.labels(method, "failed").inc(failed)
        self.metrics.truncated.labels(method).inc(truncated)
