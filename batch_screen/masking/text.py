"""Text that people may read: masked, on one line, without what steers a terminal."""

from __future__ import annotations

import logging

from batch_screen.masking.keys import hide, hide_keys
from batch_screen.masking.numbers import mask_numbers, plain, printable

_LONGEST = 16 * 1024
"""What is longer is cut off first: masking a text of megabytes would take minutes."""


def mask_text(text: str, secret: str = "") -> str:
    """Free text with every run of seven or more digits masked, and known keys replaced.

    ``secret`` is made known first.

    >>> mask_text("no such number +491511234589 here")
    'no such number +4915••••••89 here'
    >>> mask_text("run 20261123-0123456789 of 2026-11-23")
    'run 20261123-0123456789 of 2026-11-23'
    """
    hide(secret)
    return mask_numbers(hide_keys(text))


def safe_line(text: str, limit: int = 200) -> str:
    """One printable, masked line of text from anywhere.

    Masked before it is shortened: half a number or half a key is a leak too.
    """
    # What a control character breaks in two shows only without it, hence twice.
    return plain(mask_text(plain(mask_text(text[:_LONGEST]), _LONGEST)), limit)


def safe_text(text: str) -> str:
    """Several printable, masked lines; their indentation is kept."""
    masked = mask_text(text)
    # A secret that is broken by a control character only shows once that is gone.
    return mask_text("\n".join(printable(line) for line in masked.split("\n")))


# Log records that hold no secret, whoever handles them.
#
# The filter sits on our own loggers, so that programs which use this package as a library and
# set up handlers of their own get masked records too; the command puts it on its handler as
# well, for what other libraries log.

_LONGEST_RECORD = 4_000


class MaskedRecords(logging.Filter):
    """Makes every record one masked line; never a traceback, whose values could be secret."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = safe_line(_message(record), _LONGEST_RECORD)
        record.args = None
        record.exc_info = record.exc_text = record.stack_info = None
        return True


def masked_logger(name: str) -> logging.Logger:
    """The logger of that name, every record of which is masked before any handler sees it."""
    logger = logging.getLogger(name)
    if not any(isinstance(each, MaskedRecords) for each in logger.filters):
        logger.addFilter(MaskedRecords())
    return logger


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 (the arguments do not fit, or fail to show themselves)
        return f"a log line of {record.name} cannot be shown: {type(error).__name__}"
