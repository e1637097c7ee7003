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


def get(name: str) -> Log:
    """A logger that adds ``part``, the name of a part of the sidecar, to each line."""
    log: Log = structlog.get_logger(part=name)
    return log
