"""Logs of a daemon: one line a fact, key=value on a terminal, JSON for whoever collects them."""

from __future__ import annotations

import sys

import structlog
from structlog.typing import FilteringBoundLogger, Processor

FORMATS = ("auto", "text", "json")


def open_log(form: str) -> FilteringBoundLogger:
    """Open the log, on standard error.

    Args:
        form: One of FORMATS; ``auto`` looks whether there is a terminal.
    """
    text = form == "text" or (form == "auto" and sys.stderr.isatty())
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    last: Processor
    if text:
        last = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    else:
        last = structlog.processors.JSONRenderer(default=str)
    structlog.configure(
        processors=[structlog.processors.add_log_level, stamp, last],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(20),
        cache_logger_on_first_use=True,
    )
    log: FilteringBoundLogger = structlog.get_logger()
    return log
