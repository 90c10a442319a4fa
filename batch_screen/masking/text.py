"""Masked text and log records: no numbers, no keys, no terminal control characters."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from batch_screen.masking.keys import hide, hide_keys
from batch_screen.masking.numbers import mask_numbers, plain, printable

_LONGEST = 16 * 1024  # longer text is cut first: masking megabytes would take minutes


def mask_text(text: str, secret: str = "") -> str:
    """Free text with every run of seven or more digits masked, and registered keys replaced.

    ``secret`` is registered first.

    >>> mask_text("no such number +491511234589 here")
    'no such number +4915••••••89 here'
    >>> mask_text("run 20261123-0123456789 of 2026-11-23")
    'run 20261123-0123456789 of 2026-11-23'
    """
    hide(secret)
    return mask_numbers(hide_keys(text))


def safe_line(text: str, limit: int = 200) -> str:
    """One printable, masked line of foreign text.

    Masked before it is shortened: half a number or half a key is a leak too.
    """
    # Twice: a number that a control character breaks in two is found only once that is gone.
    return plain(mask_text(plain(mask_text(text[:_LONGEST]), _LONGEST)), limit)


def safe_text(text: str) -> str:
    """Printable, masked lines of foreign text, such as a path: their blanks are kept."""
    # A secret that is broken by a control character only shows once that is gone.
    return mask_text(printable_text(mask_text(text)))


def printable_text(text: str) -> str:
    """Lines of our own without control characters and keys.

    What is foreign in them was masked where it came in: of the whole, figures would be masked too.
    """
    lines = hide_keys(text).split("\n")
    return hide_keys("\n".join(map(printable, lines)))


def mask_texts(value: Any) -> Any:
    """The value with every text in it masked, those in lists and tables too; figures stay."""
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, dict):
        return {mask_text(name): mask_texts(each) for name, each in value.items()}
    if isinstance(value, list):
        return [mask_texts(each) for each in value]
    return value


_LONGEST_RECORD = 4_000


class MaskedRecords(logging.Filter):
    """Log filter: every record becomes one masked line, without a traceback.

    It sits on our own loggers, so that programs which use this package as a library and have their
    own handlers get masked records too; the command puts it on its handler as well, for what other
    libraries log.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception as error:  # noqa: BLE001 (arguments that do not fit, or cannot be shown)
            message = f"a log line of {record.name} cannot be shown: {type(error).__name__}"
        record.msg = safe_line(message, _LONGEST_RECORD)
        record.args = None
        record.exc_info = record.exc_text = record.stack_info = None
        return True


def masked_logger(name: str) -> logging.Logger:
    """The logger of that name, whose records are masked before any handler sees them."""
    logger = logging.getLogger(name)
    if not any(isinstance(each, MaskedRecords) for each in logger.filters):
        logger.addFilter(MaskedRecords())
    return logger


@contextmanager
def records_sent(send: Callable[[tuple[int, str, str]], None]) -> Iterator[None]:
    """Sends level, logger and text of each record, masked, and of errors that nobody caught.

    For a process whose own streams nobody reads.
    """
    handler = _Sender(send)
    logging.getLogger().addHandler(handler)
    threading.excepthook = sys.unraisablehook = handler.uncaught
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


class _Sender(logging.Handler):
    def __init__(self, send: Callable[[tuple[int, str, str]], None]) -> None:
        super().__init__(logging.INFO)
        self._send = send
        self.addFilter(MaskedRecords())

    def emit(self, record: logging.LogRecord) -> None:
        self._send((record.levelno, record.name, record.getMessage()))

    def uncaught(self, hooked: Any) -> None:
        text = safe_line(f"{type(hooked.exc_value).__name__}: {hooked.exc_value}")
        self._send((logging.ERROR, __name__, f"this is a bug, please report it: {text}"))
