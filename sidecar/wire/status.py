"""Errors on the wire: ``google.rpc.Status`` with ErrorInfo, and RetryInfo on overload."""

from __future__ import annotations

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2

from sidecar.errors import ChercheError, Code

DOMAIN = "cherche"
NEXT_STEP = "next_step"

CLUSTER_AUTHORIZATION = "cherche-cluster-authorization"
"""Metadata key under which a caller's cluster credentials travel."""


def to_status(error: ChercheError) -> status_pb2.Status:
    """The status of an error."""
    info = error_details_pb2.ErrorInfo(
        reason=error.code.value,
        domain=DOMAIN,
        metadata={"reason": clean(error.reason), NEXT_STEP: clean(error.next_step)},
    )
    details = [info]
    if error.code is Code.RESOURCE_EXHAUSTED and error.retry_after is not None:
        delay = Duration()
        delay.FromMilliseconds(round(error.retry_after * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return status_pb2.Status(
        code=code_pb2.Code.Value(error.code.value),
        message=clean(str(error)),
        details=[_packed(detail) for detail in details],
    )


def from_status(status: status_pb2.Status) -> ChercheError:
    """The error of a status; of one from another server, its message alone."""
    code = to_code(code_pb2.Code.Name(status.code) if status.code in code_pb2.Code.values() else "UNKNOWN")
    reason, next_step = status.message, ""
    retry_after = None
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo.FromString(detail.value)
            reason = info.metadata.get("reason", reason)
            next_step = info.metadata.get(NEXT_STEP, next_step)
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry_after = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay.ToMilliseconds() / 1000
    return ChercheError(code, reason, next_step, retry_after=retry_after)


def to_code(name: str) -> Code:
    """The code of gRPC's name for it; INTERNAL for those that the project never uses."""
    return Code(name) if name in Code.__members__ else Code.INTERNAL


def clean(text: str) -> str:
    r"""A text that fits a protobuf string: lone surrogates become question marks.

    >>> clean("a\ud800b")
    'a?b'
    """
    return text.encode("utf-8", "replace").decode()


def _packed(message: error_details_pb2.ErrorInfo) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed
