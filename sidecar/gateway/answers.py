"""HTTP responses with the headers that all dialects share."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from sidecar.gateway.json_text import quoted
from sidecar.protocols import Encoder
from sidecar.values.search import Timings

if TYPE_CHECKING:
    from fastapi import Response

POSITIONS_SHOWN = 64
_WARNED = 2000
"""Characters of warnings in a header."""
_STAGES = ("tokenize", "queue", "encode", "total")


def answer(
    content: str,
    encoder: Encoder,
    fingerprint: str,
    timings: Timings,
    *,
    truncated: Collection[int],
    unknown_language: Collection[int] = (),
    unscored: Collection[int] = (),
) -> Response:
    """The response to a request.

    Parameters
    ----------
    content : str
        JSON text.
    encoder : Encoder
        The model that made it.
    fingerprint : str
        Of the model and the options that determine the numbers.
    timings : Timings
    truncated, unknown_language, unscored : collections of int
        Positions of texts; each collection becomes a header unless it is empty.
    """
    from fastapi import Response  # here: what only prints connectors runs without it

    stages = ((stage, getattr(timings, stage)) for stage in _STAGES)
    headers = {
        # Escaped, since a header holds ASCII and a model may have any name.
        "x-cherche-model": quoted(encoder.info.name)[1:-1],
        "x-cherche-fingerprint": fingerprint,
        "server-timing": ", ".join(f"{stage};dur={1000 * seconds:.3f}" for stage, seconds in stages),
    }
    if truncated:
        headers["x-cherche-truncated"] = _positions(truncated)
    if unknown_language:
        headers["x-cherche-unknown-language"] = _positions(unknown_language)
    if unscored:
        headers["x-cherche-unscored"] = _positions(unscored)
    return Response(content, headers=headers, media_type="application/json")


def warning_header(warnings: Sequence[str]) -> dict[str, str]:
    """The header that names what was ignored; none where nothing was.

    >>> warning_header(["size is ignored: sizes are fixed"]), warning_header([])
    ({'x-cherche-warnings': 'size is ignored: sizes are fixed'}, {})
    """
    return {"x-cherche-warnings": quoted("; ".join(warnings)[:_WARNED])[1:-1]} if warnings else {}


def _positions(positions: Collection[int]) -> str:
    """Positions as a header of bounded length.

    >>> _positions([3, 1])
    '1,3'
    """
    shown = ",".join(map(str, sorted(positions)[:POSITIONS_SHOWN]))
    return shown if len(positions) <= POSITIONS_SHOWN else f"{shown},... {len(positions)} in all"
