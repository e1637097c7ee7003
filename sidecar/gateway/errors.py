"""Failures as HTTP: one typed JSON shape, statuses that a cluster retries only where a retry helps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from fastapi import Response
from pydantic import BaseModel, Field

from sidecar.errors import ChercheError, Code
from sidecar.gateway.json_text import plain

THROTTLED = {"x-amzn-ErrorType": "ThrottlingException"}
"""Older ml-commons retry nothing without this header, whatever the status."""

STATUSES: Mapping[Code, int] = MappingProxyType(
    {
        Code.INVALID_ARGUMENT: 400,
        Code.NOT_FOUND: 404,
        Code.ALREADY_EXISTS: 409,
        Code.ABORTED: 409,
        Code.FAILED_PRECONDITION: 400,
        Code.PERMISSION_DENIED: 403,
        Code.UNAUTHENTICATED: 401,
        Code.RESOURCE_EXHAUSTED: 429,
        Code.DEADLINE_EXCEEDED: 504,
        Code.UNAVAILABLE: 503,
        Code.CANCELLED: 499,
        Code.INTERNAL: 500,
    }
)
TOO_LARGE, UNPROCESSABLE = 413, 422


class ItemProblem(BaseModel):
    """What is wrong with one text of a request."""

    index: int = Field(description="Its place in the request, from 0.")
    error_type: str
    reason: str
    next_step: str


class Problem(BaseModel):
    """Why a request failed. `error` as a string is what TEI's and Elasticsearch's readers look for."""

    error: str = Field(description="Reason and next step in one line.")
    error_type: Code
    reason: str
    next_step: str
    retry_after: float | None = Field(default=None, description="Seconds; only where a retry may succeed.")
    items: list[ItemProblem] | None = Field(default=None, description="The texts at fault, where some are.")


class HttpError(ChercheError):
    """A failure with a status of its own, and the texts at fault.

    Attributes
    ----------
    status : int
    items : sequence of (place, error)
    """

    def __init__(self, error: ChercheError, status: int, items: Sequence[tuple[int, ChercheError]] = ()) -> None:
        super().__init__(error.code, error.reason, error.next_step, retry_after=error.retry_after)
        self.status = status
        self.items = tuple(items)


def too_large(reason: str, next_step: str) -> HttpError:
    """More bytes than allowed."""
    return HttpError(ChercheError(Code.INVALID_ARGUMENT, reason, next_step), TOO_LARGE)


def unprocessable(error: ChercheError, items: Sequence[tuple[int, ChercheError]] = ()) -> HttpError:
    """The same request will fail again: no reader retries this status."""
    return HttpError(error, UNPROCESSABLE, items)


def failed_items(failures: Mapping[int, ChercheError], count: int) -> ChercheError:
    """The failure of a request whose dialect has no place for a failed text.

    All failed texts are named, so that one repetition without them succeeds. Where the sidecar rather than
    a text is at fault, the status invites a retry.
    """
    passing = next((error for error in failures.values() if error.retryable), None)
    if passing is not None:
        return passing
    items = sorted(failures.items())
    first = items[0][1]
    reason = (
        first.reason if len(items) == 1 else f"{len(items)} of {count} texts cannot be encoded; first: {first.reason}"
    )
    next_step = first.next_step if len(items) == 1 else "leave out the items named here, or mend them"
    return unprocessable(ChercheError(first.code, reason, next_step), items)


def response_of(error: ChercheError) -> Response:
    """The HTTP response of a failure."""
    status = error.status if isinstance(error, HttpError) else STATUSES[error.code]
    return Response(plain(_body(error)), status, _headers(error, status), "application/json")


def _body(error: ChercheError) -> dict[str, Any]:
    body: dict[str, Any] = {
        "error": str(error),
        "error_type": error.code.value,
        "reason": error.reason,
        "next_step": error.next_step,
    }
    if error.retryable:
        body["retry_after"] = float(_seconds(error))
    if isinstance(error, HttpError) and error.items:
        body["items"] = [
            {"index": index, "error_type": one.code.value, "reason": one.reason, "next_step": one.next_step}
            for index, one in error.items
        ]
    return body


def _headers(error: ChercheError, status: int) -> dict[str, str]:
    if error.retryable:
        return {**THROTTLED, "Retry-After": str(_seconds(error))}
    return {"WWW-Authenticate": "Bearer"} if status == 401 else {}


def _seconds(error: ChercheError) -> int:
    return max(1, math.ceil(error.retry_after or 1.0))
