"""Keeps phone numbers, keys and terminal control characters out of what people read.

Used by every message, log line and report that leaves the private data files.
"""

from batch_screen.masking.keys import hide, hide_keys
from batch_screen.masking.lines import mask_text, safe_line, safe_text
from batch_screen.masking.logs import MaskedRecords, masked_logger
from batch_screen.masking.numbers import mask_cell, mask_number
from batch_screen.masking.printable import plain

__all__ = [
    "MaskedRecords",
    "hide",
    "hide_keys",
    "mask_cell",
    "mask_number",
    "mask_text",
    "masked_logger",
    "plain",
    "safe_line",
    "safe_text",
]
