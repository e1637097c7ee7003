"""What servicers read from a gRPC call: the caller's credentials, the deadline, and whether an answer fits."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar

from google.protobuf.message import Message

from sidecar.errors import invalid
from sidecar.pipeline import Context
from sidecar.services import Services
from sidecar.values.index import Identity
from sidecar.wire.status import CLUSTER_AUTHORIZATION

Call: TypeAlias = Any
"""grpc's context of a call; its type stubs do not know all of it."""

_MARGIN = 0.05
"""Seconds of the deadline that are kept for sending the answer."""

M = TypeVar("M", bound=Message)


def bounded(services: Services, call: Call) -> Context:
    """The pipeline's context for a unary call: its identity and its deadline."""
    return services.base.for_caller(identity(call), remaining(services, call))


def unbounded(services: Services, call: Call) -> Context:
    """The context of a call that only its caller bounds: a stream, or work on a whole index."""
    given: float | None = call.time_remaining()
    return services.base.for_caller(identity(call), None if given is None else _kept(given))


def remaining(services: Services, call: Call) -> float:
    """Seconds that a unary call may take: a little less than there are, so that its answer still arrives."""
    given: float | None = call.time_remaining()
    return _kept(services.limits.deadline if given is None else min(given, services.limits.deadline))


def _kept(left: float) -> float:
    """What is left of some seconds when there is time to answer."""
    return left - min(_MARGIN, left / 10)


def identity(call: Call) -> Identity:
    """The cluster credentials that the caller forwards; anonymous without."""
    metadata = dict(call.invocation_metadata() or ())
    return Identity(metadata.get(CLUSTER_AUTHORIZATION) or None)


def fitting(services: Services, response: M) -> M:
    """The response, if the caller can receive it.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT where it exceeds the message limit.
    """
    # gRPC itself would answer RESOURCE_EXHAUSTED, which reads as an overload that passes.
    size, limit = response.ByteSize(), services.limits.request_bytes
    if size > limit:
        raise invalid(
            f"the answer has {size:,} bytes, a message may have {limit:,}",
            "send fewer items per call, or stream",
        )
    return response
