"""One text that breaks the model costs its neighbours nothing: bisection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from cherche_models.types import Encoding
from sidecar.errors import ChercheError, Code, precondition

T = TypeVar("T")
R = TypeVar("R")


def each(
    work: Callable[[Sequence[T]], Sequence[R]],
    items: Sequence[T],
    failure: Callable[[Exception], ChercheError],
    on_split: Callable[[Exception], None] = lambda _: None,
) -> list[R | ChercheError]:
    """Apply `work` to all items at once, or to ever smaller halves where that fails.

    Parameters
    ----------
    work : callable
        A batch in, one result per item out, in order.
    items : sequence
    failure : callable
        The typed error of an item that fails alone.
    on_split : callable
        Called with each exception that splits a batch.

    Returns
    -------
    list, parallel to `items`.

    >>> each(lambda xs: [1 / x for x in xs], [1, 0, 2], lambda e: ChercheError(Code.INTERNAL, str(e)))
    [1.0, ChercheError('division by zero'), 0.5]
    """
    if not items:
        return []
    try:
        results = list(work(items))
        if len(results) != len(items):
            raise RuntimeError(f"{len(items)} texts went in, {len(results)} results came out")
    except Exception as error:  # whatever a model raises belongs to its text
        if len(items) == 1:
            return [failure(error)]
        on_split(error)
    else:
        return list(results)
    # Outside the handler: the exception's traceback would keep the failed batch's tensors through all levels below.
    middle = len(items) // 2
    halves = (items[:middle], items[middle:])
    return [result for half in halves for result in each(work, half, failure, on_split)]


def is_out_of_memory(error: Exception) -> bool:
    """Whether an exception, of torch or of Python, says that memory ran out."""
    text = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "out of memory" in text
        or "can't allocate memory" in text
    )


def encoding_failure(model: str, error: Exception) -> ChercheError:
    """The typed error of a text that fails alone."""
    if isinstance(error, ChercheError):
        return error
    if is_out_of_memory(error):
        return precondition(f"model {model!r} ran out of memory on this text alone", "set a smaller maximum length")
    return ChercheError(
        Code.INTERNAL,
        f"this text breaks model {model!r}: {type(error).__name__}: {error}",
        "leave the text out, or check the model with: cherche doctor",
    )


def checked(model: str, encoding: Encoding) -> Encoding | ChercheError:
    """The encoding, or what is wrong with its numbers."""
    if _finite(encoding):
        return encoding
    return ChercheError(
        Code.INTERNAL,
        f"model {model!r} computed NaN or infinite numbers for this text; nothing of it is used",
        "check the model with: cherche doctor, or serve it with --dtype float32",
    )


def _finite(encoding: Encoding) -> bool:
    arrays = []
    if encoding.weights is not None:
        arrays.append(encoding.weights.weights)
    if encoding.embeddings is not None:
        arrays.append(encoding.embeddings.vectors)
    return all(bool(np.isfinite(array).all()) for array in arrays)
