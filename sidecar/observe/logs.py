"""JSON log lines on stderr, without ids, texts or credentials."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from sidecar.errors import MOST_SAID, said

# Without the values of local variables, which may be texts or credentials.
_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False, use_rich=False)
)

Log = structlog.stdlib.BoundLogger
LONGEST = 2 * MOST_SAID + 100
"""Characters of a text in a line: an error's reason and its next step, in which nothing is cut twice."""


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Write one JSON object per line to `stream`; None for stderr."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            _TRACEBACKS,
            _shown,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )


def _shown(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Bound every text and take credentials out of its URLs, also of those that libraries and tracebacks quote."""
    return {key: _bounded(value) for key, value in event.items()}


def _bounded(value: Any) -> Any:  # noqa: ANN401  # whatever is logged
    if isinstance(value, str):
        return said(value, LONGEST)
    if isinstance(value, dict):
        return {key: _bounded(one) for key, one in value.items()}
    return [_bounded(one) for one in value] if isinstance(value, list | tuple) else value


def capture() -> None:
    """Write what libraries log, and Python's warnings, as such lines too: for a process that is all a sidecar."""
    root = logging.getLogger()
    if not any(isinstance(handler, _Forward) for handler in root.handlers):
        root.addHandler(_Forward())
    logging.captureWarnings(True)


class _Forward(logging.Handler):
    """Hands records of the standard library to structlog; ``part`` is the library's logger."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger(part=record.name).log(
            record.levelno, "library", message=record.getMessage(), exc_info=record.exc_info or None
        )


def get(name: str) -> Log:
    """A logger that adds ``part``, the name of a part of the sidecar, to each line."""
    log: Log = structlog.get_logger(part=name)
    return log
