"""Hooks for Python's own error output, so that tracebacks and core dumps show no secret.

A traceback shows values, a warning quotes what it warns of, and a core file holds the key
and every number. What ``PYTHONFAULTHANDLER`` prints of a crash in native code names places alone.
"""

from __future__ import annotations

import logging
import resource
import sys
import threading
import traceback
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from batch_screen.cli import log
from batch_screen.errors import ExitCode, exit_code_of, is_full
from batch_screen.masking import MaskedRecords, safe_line

_MESSAGE_CHARACTERS = 200


def install_hooks() -> None:
    """Installs hooks: no traceback, number or key is printed, and no core is dumped."""
    logging.raiseExceptions = False  # it prints a traceback when a line cannot be written
    handler = _StderrHandler()
    handler.addFilter(MaskedRecords())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    warnings.showwarning = _warn
    sys.excepthook = lambda kind, error, trace: _say("bug", error)  # noqa: ARG005 (Python's signature)
    threading.excepthook = lambda hooked: _say("bug in a thread", hooked.exc_value)
    sys.unraisablehook = lambda hooked: _say("bug while cleaning up", hooked.exc_value)
    with suppress(OSError, ValueError):  # where it may not be changed it is low already
        # One byte is too small for a file and, other than none, also keeps Linux from handing
        # the core to a program (man 5 core).
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))


def described(error: BaseException | None) -> str:
    """Type, place and masked text of an exception; the text may quote data, so it is short."""
    text = _text(error)
    said = f": {text}" if text else ""
    return safe_line(f"{type(error).__name__}{_place(error)}{said}", _MESSAGE_CHARACTERS + 80)


def _place(error: BaseException | None) -> str:
    try:
        frames = traceback.extract_tb(error.__traceback__) if error else []
    except Exception:  # noqa: BLE001 (Python's own code, where memory has given out)
        return ""
    return f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def _text(error: BaseException | None) -> str:
    try:
        return safe_line(str(error), _MESSAGE_CHARACTERS)
    except Exception:  # noqa: BLE001 (other people's exceptions may fail to show themselves)
        return "it cannot be shown"


def unforeseen(error: BaseException) -> str:
    """The message for an unexpected exception, with the next step."""
    if isinstance(error, PermissionError):
        return f"{error.filename}: {error.strerror}; fix permissions, then start again"
    if isinstance(error, UnicodeEncodeError):
        return "a name that is not UTF-8 cannot be written here; rename it, or name a link to it"
    if isinstance(error, OSError) and is_full(error):
        where = error.filename or "what was asked for"
        return f"cannot write {where}: {error.strerror}; free space, then start again"
    if exit_code_of(error) == ExitCode.SYSTEM:
        return (
            f"a system resource ran out: {described(error)}; free memory or files, then start again"
        )
    return f"this is a bug, please report it: {described(error)}"


def _say(what: str, error: BaseException | None) -> None:
    try:
        log.bug(f"this is a {what}, please report it: {described(error)}")
    except Exception:  # noqa: BLE001 (Python would print both tracebacks)
        log.last_resort()


def _warn(  # noqa: PLR0917 (the signature is Python's)
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    del file, line
    log.warning(f"{category.__name__} at {Path(filename).name}:{lineno}: {message}")


class _StderrHandler(logging.Handler):
    """Log handler that prints as all other output is printed, so that a dead stderr is no error."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.levelname.lower()
        log.warning(safe_line(record.getMessage()), kind=kind)  # the filter has masked it
