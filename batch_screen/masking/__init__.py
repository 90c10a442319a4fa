"""Masking of phone numbers, API keys and terminal control characters in everything people read.

Every message, log line and report passes here before it leaves the private data files.
"""

from batch_screen.masking.keys import hide, hide_keys
from batch_screen.masking.numbers import mask_cell, mask_number, plain
from batch_screen.masking.text import MaskedRecords, mask_text, masked_logger, safe_line, safe_text

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
