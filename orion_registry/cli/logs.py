"""Logs to stderr: text for people on a terminal, otherwise one JSON object a line, whatever happens.

Everything that would write to stderr by itself is led through here: warnings, asyncio, grpc's Python side, uncaught
exceptions of threads and finalisers. (C-core writes by itself: the command line sets GRPC_VERBOSITY.) What looks like a
secret is masked, whoever logs it.
"""

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from pythonjsonlogger.json import JsonFormatter

from orion_registry.core.masking import mask_text, mask_value

_GRPC = "grpc._cython.cygrpc"
_UNSENT = "ExecuteBatchError raised in core by servicer method"

log = logging.getLogger("orion_registry")

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_COLOURS = {"debug": "\x1b[2m", "info": "\x1b[32m", "warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
_RESET = "\x1b[0m"


class JsonLines(JsonFormatter):
    """One object a line: timestamp, level, logger, message, then the fields; a traceback is the field exc_info."""

    def __init__(self) -> None:
        super().__init__("%(message)s", json_default=str, json_ensure_ascii=True)

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Puts what every line has first."""
        log_data["timestamp"] = _when(record)
        log_data["level"] = record.levelname.lower()
        log_data["logger"] = record.name
        super().add_fields(log_data, record, message_dict)
        for name, value in log_data.items():
            log_data[name] = mask_value(name, value)


class TextLines(logging.Formatter):
    """Time, level, message, fields as name=value. Control characters are escaped: a client must not write our lines."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback below if there is one."""
        level = record.levelname.lower()
        shown = f"{_COLOURS.get(level, '')}{level:7}{_RESET}" if self._colour else f"{level:7}"
        fields = "".join(f" {name}={_field(mask_value(name, value))}" for name, value in _fields(record).items())
        where = "" if record.name == log.name else f"{record.name}: "
        text = f"{_when(record)[11:23]} {shown} {where}{_printable(mask_text(record.getMessage()))}{fields}"
        if record.exc_info:
            text += "\n" + mask_text(self.formatException(record.exc_info))
        return text


class StderrHandler(logging.StreamHandler[TextIO]):
    """Writes lines; one that cannot be formatted becomes a line that says so, instead of a raw traceback."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name that logging calls
        """Called by `logging` inside the except block."""
        try:
            broken = logging.LogRecord(
                log.name, logging.ERROR, record.pathname, record.lineno, "a log line could not be written", None, None
            )
            broken.where = f"{record.pathname}:{record.lineno}"
            broken.error = repr(sys.exc_info()[1])
            self.stream.write(self.format(broken) + self.terminator)
            self.flush()
        except (OSError, ValueError):  # stderr is gone; there is nobody left to tell
            pass


def is_terminal(stream: TextIO) -> bool:
    """Whether people read the stream."""
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def make_handler(log_format: str, stream: TextIO, environ: Mapping[str, str]) -> logging.Handler:
    """A handler for auto, text or json; colour only on a terminal, and not if NO_COLOR is set (no-color.org)."""
    terminal = is_terminal(stream)
    handler = StderrHandler(stream)
    if log_format == "text" or (log_format == "auto" and terminal):
        handler.setFormatter(TextLines(colour=terminal and not environ.get("NO_COLOR")))
    else:
        handler.setFormatter(JsonLines())
    return handler


def configure(level: str = "info", log_format: str = "auto") -> None:
    """Sets up the process's logging. Other libraries are heard from warning on."""
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(make_handler(log_format, sys.stderr, os.environ))
    root.setLevel(logging.WARNING)
    log.setLevel(level.upper())
    logging.getLogger(_GRPC).addFilter(_is_news)
    logging.captureWarnings(True)
    sys.excepthook = _on_exception
    sys.unraisablehook = _on_unraisable
    threading.excepthook = _on_thread_exception


def _is_news(record: logging.LogRecord) -> bool:
    """Not that an answer could not be sent because its call was reset: grpc tells of each with a traceback, so a client
    that resets its calls could fill the disk.
    """
    return not record.getMessage().startswith(_UNSENT)


def watch_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Logs what tasks and callbacks of a loop raise and nobody awaits."""
    loop.set_exception_handler(_on_loop_exception)


def _on_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    log.critical("uncaught exception", exc_info=(kind, error, trace))


def _on_thread_exception(args: "threading.ExceptHookArgs") -> None:
    if args.exc_value is not None:
        name = args.thread.name if args.thread else ""
        log.error("uncaught exception in a thread", extra={"thread_name": name}, exc_info=args.exc_value)


def _on_unraisable(args: "sys.UnraisableHookArgs") -> None:
    log.error(args.err_msg or "exception ignored", extra={"object": repr(args.object)}, exc_info=args.exc_value)


def _on_loop_exception(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    source = context.get("task") or context.get("future") or context.get("handle") or ""
    log.error("event loop: %s", context["message"], extra={"source": repr(source)}, exc_info=error)


def _when(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in record.__dict__.items() if name not in _STANDARD}


def _field(value: object) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return _printable(text) if text and " " not in text and "=" not in text else repr(text)


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
