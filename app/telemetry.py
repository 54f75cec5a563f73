"""Structured logging: one event is one line, a constant name and its fields, and no line holds a key or a token.

Every process calls `configure` once.
"""

import logging
import sys
import traceback
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from app.masking import mask_text


def configure(level: str) -> None:
    """Log events at `level` and above to standard error, as JSON unless a person is looking at a terminal."""
    person = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            masked,
            structlog.dev.ConsoleRenderer() if person else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
    # Libraries log by themselves, with the exceptions that our texts may be in.
    logging.setLogRecordFactory(MaskedRecord)


def masked(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Mask every value of an event; what is no text counts as what it is written as."""
    return {name: _masked(value) for name, value in event.items()}


class MaskedRecord(logging.LogRecord):
    """A record of the standard library whose message and traceback are masked."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.exc_info and self.exc_info[0] is not None:
            # Formatters take it from here instead of making it.
            self.exc_text = mask_text("".join(traceback.format_exception(*self.exc_info))).rstrip()

    def getMessage(self) -> str:  # noqa: N802 - the standard library's name
        """The message, masked."""
        return mask_text(super().getMessage())


def _masked(value: Any) -> Any:
    written = value if isinstance(value, str) else repr(value)
    kept = mask_text(written)
    return value if kept == written else kept
