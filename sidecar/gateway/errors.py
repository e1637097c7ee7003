"""Errors as HTTP responses: one typed JSON shape, and statuses that a cluster retries only where a retry helps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from sidecar.errors import ChercheError, Code
from sidecar.gateway.json_text import plain

if TYPE_CHECKING:
    from fastapi import Response

THROTTLED = {"x-amzn-ErrorType": "ThrottlingException"}
"""Older versions of ml-commons retry only with this header, whatever the status."""

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
TOO_LARGE, UNSUPPORTED_MEDIA, UNPROCESSABLE = 413, 415, 422


class ItemProblem(BaseModel):
    """The error of one text of a request."""

    index: int = Field(description="Its position in the request, from 0.")
    error_type: str
    reason: str
    next_step: str


class Problem(BaseModel):
    """Why a request failed. TEI clients and Elasticsearch read `error`, a string."""

    error: str = Field(description="Reason and next step in one line.")
    error_type: Code
    reason: str
    next_step: str
    retry_after: float | None = Field(default=None, description="Seconds; only where a retry may succeed.")
    items: list[ItemProblem] | None = Field(default=None, description="The texts at fault, if any.")


class HttpError(ChercheError):
    """An error with an HTTP status of its own and the texts at fault.

    Attributes
    ----------
    status : int
    items : sequence of (position, error)
    """

    def __init__(self, error: ChercheError, status: int, items: Sequence[tuple[int, ChercheError]] = ()) -> None:
        super().__init__(error.code, error.reason, error.next_step, retry_after=error.retry_after)
        self.status = status
        self.items = tuple(items)


Shape = Callable[[dict[str, Any], int], dict[str, Any]]
"""(body of a `Problem`, status) → the same with the keys that clients of a dialect read."""


def neutral(body: dict[str, Any], status: int) -> dict[str, Any]:
    """A `Problem` as it is."""
    return body


def cohere_shape(body: dict[str, Any], status: int) -> dict[str, Any]:
    """With Cohere's `message`."""
    return {"message": body["error"], **body}


def detail_shape(body: dict[str, Any], status: int) -> dict[str, Any]:
    """With the `detail` of Jina and Voyage."""
    return {"detail": body["error"], **body}


def openai_shape(body: dict[str, Any], status: int) -> dict[str, Any]:
    """With the object `error` of vLLM, infinity and Together, which is OpenAI's."""
    error = {"message": body["error"], "type": body["error_type"], "param": None, "code": status}
    return {**body, "error": error}


_TEI_TYPES = {413: "validation", 422: "validation", 429: "overloaded", 503: "unhealthy", 500: "backend"}


def tei_shape(body: dict[str, Any], status: int) -> dict[str, Any]:
    """With the `error_type` of text-embeddings-inference; ours moves to `code`."""
    return {**body, "error_type": _TEI_TYPES.get(status, "validation"), "code": body["error_type"]}


class ShapedProblem(BaseModel):
    """Why a request failed, beside what the dialect's own clients read."""

    reason: str
    next_step: str


def too_large(reason: str, next_step: str) -> HttpError:
    """The error of a request or an answer with more bytes than allowed."""
    return HttpError(ChercheError(Code.INVALID_ARGUMENT, reason, next_step), TOO_LARGE)


def unprocessable(error: ChercheError, items: Sequence[tuple[int, ChercheError]] = ()) -> HttpError:
    """The error of a request that would fail again; no client retries its status."""
    return HttpError(error, UNPROCESSABLE, items)


def failed_items(failures: Mapping[int, ChercheError], count: int) -> ChercheError:
    """The error of a request with failed texts, as no dialect can answer for the others alone.

    It names all failed texts, so that the request succeeds without them. Where the sidecar rather than a text is
    at fault, its status allows a retry.
    """
    transient = next((error for error in failures.values() if error.retryable), None)
    if transient is not None:
        return transient
    items = sorted(failures.items())
    first = items[0][1]
    reason = (
        first.reason if len(items) == 1 else f"{len(items)} of {count} texts cannot be encoded; first: {first.reason}"
    )
    next_step = first.next_step if len(items) == 1 else "leave out or correct the items named here"
    return unprocessable(ChercheError(first.code, reason, next_step), items)


def response_of(error: ChercheError, shape: Shape = neutral) -> Response:
    """The HTTP response of an error, in the shape that a dialect's clients read."""
    from fastapi import Response  # here: what only prints connectors runs without it

    status = error.status if isinstance(error, HttpError) else STATUSES[error.code]
    return Response(plain(shape(_body(error), status)), status, _headers(error, status), "application/json")


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
