"""What Python itself would print or dump, made to hold no secret.

A traceback shows values, a warning quotes what it warns of, and a core file holds the key
and every number.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import resource
import sys
import threading
import traceback
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from batch_screen.cli.show import tell
from batch_screen.masking import MaskedRecords, safe_line

_MESSAGE_CHARACTERS = 200
_NO_WORDS = b"Error: the system gave out: free memory or files, then start again\n"


def keep_quiet() -> None:
    """From now on nothing prints a traceback, a number or a key, and nothing dumps them."""
    _log_masked()
    warnings.showwarning = _warn
    sys.excepthook = lambda kind, error, trace: _say("bug", error)  # noqa: ARG005 (Python's signature)
    threading.excepthook = lambda hooked: _say("bug in a thread", hooked.exc_value)
    sys.unraisablehook = lambda hooked: _say("bug while cleaning up", hooked.exc_value)
    faulthandler.disable()
    _forbid_dumps()


def described(error: BaseException | None) -> str:
    """Type, place and masked text of a bug; its text may quote data, so it is short."""
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


def _say(what: str, error: BaseException | None) -> None:
    try:
        tell(f"Error: this is a {what}, please report it: {described(error)}")
    except Exception:  # noqa: BLE001 (Python would print both tracebacks)
        with suppress(OSError):
            os.write(2, _NO_WORDS)


def _warn(  # noqa: PLR0917 (the signature is Python's)
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    del file, line
    tell(f"warning: {category.__name__} at {Path(filename).name}:{lineno}: {message}")


class _MaskedFormatter(logging.Formatter):
    """The level and the message; the filter has masked it."""

    def format(self, record: logging.LogRecord) -> str:
        return safe_line(f"{record.levelname.lower()}: {record.getMessage()}")


class _TellingHandler(logging.Handler):
    """Prints where ``tell`` prints, so that a dead stderr is no error."""

    def emit(self, record: logging.LogRecord) -> None:
        tell(self.format(record))


def _log_masked() -> None:
    logging.raiseExceptions = False  # it prints a traceback when a line cannot be written
    handler = _TellingHandler()
    handler.addFilter(MaskedRecords())
    handler.setFormatter(_MaskedFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def _forbid_dumps() -> None:
    with suppress(OSError, ValueError):  # where it may not be changed it is low already
        # One byte is too small for a file and, other than none, also keeps Linux from handing
        # the core to a program (man 5 core).
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
