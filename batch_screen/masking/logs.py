"""Log records that hold no secret, whoever handles them.

The filter sits on our own loggers, so that programs which use this package as a library and
set up handlers of their own get masked records too; the command puts it on its handler as
well, for what other libraries log.
"""

from __future__ import annotations

import logging

from batch_screen.masking.lines import safe_line

_LONGEST = 4_000


class MaskedRecords(logging.Filter):
    """Makes every record one masked line; never a traceback, whose values could be secret."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = safe_line(_message(record), _LONGEST)
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
