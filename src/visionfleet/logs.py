"""The logs of hub and worker: logfmt lines on standard error, for people and for collectors."""

from __future__ import annotations

import logging
import sys

import structlog

LIBRARY_FORMAT = "timestamp=%(asctime)s level=%(levelname)s logger=%(name)s %(message)s"
FIRST_KEYS = ("timestamp", "level", "event")


def log_to_stderr() -> None:
    """Set up this process's logs. Libraries' own lines come from WARNING on.

    Tracebacks are written without local variables: those hold keys.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format=LIBRARY_FORMAT)

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=FIRST_KEYS, drop_missing=True),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
