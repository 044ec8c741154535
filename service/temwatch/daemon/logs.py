"""Log lines on standard error: JSON for journald, or for a person at a console."""

from __future__ import annotations

import logging
import sys
import threading
from types import TracebackType

import structlog

from temwatch.config import LoggingSettings
from temwatch.names import as_text, printable


def set_up(settings: LoggingSettings) -> None:
    """Send structlog's and the standard library's records through one formatter."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _names_as_text,
    ]
    final: list[structlog.typing.Processor]
    if settings.format == "json":
        final = [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer(default=str)]
    else:
        final = [_without_control_characters, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(settings.level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for chatty in ("watchdog", "uvicorn.access", "PIL"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = _last_words
    threading.excepthook = lambda end: _last_words(end.exc_type, end.exc_value, end.exc_traceback)


def _names_as_text(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {key: as_text(value) if isinstance(value, str) else value for key, value in event.items()}


def _without_control_characters(
    _: object, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """A file's name must not begin a line of its own or steer the terminal; JSON escapes such characters."""
    return {key: printable(value) if isinstance(value, str) else value for key, value in event.items()}


def _last_words(
    kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None
) -> None:
    """What ends the process or a thread, as one line like the others, its traceback in it."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error or kind(), traceback)
        return
    exception = (kind, error or kind(), traceback)
    structlog.get_logger(__name__).critical("internal error", exc_info=exception)
