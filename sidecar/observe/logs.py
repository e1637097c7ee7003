"""JSON log lines on stderr, without ids, texts or credentials."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog

# Without the values of local variables, which may be texts or credentials.
_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False, use_rich=False)
)

Log = structlog.stdlib.BoundLogger


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Write one JSON object per line to `stream`; None for stderr."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            _TRACEBACKS,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )


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
