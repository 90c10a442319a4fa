"""Masking of phone numbers, API keys and terminal control characters in everything people read.

Foreign text (cells, paths, what servers and libraries say) is masked where it enters a message;
log records and messages of exceptions are masked as a whole. Figures of our own need no mask.
"""

from batch_screen.masking.keys import hide, hide_keys
from batch_screen.masking.numbers import mask_cell, mask_number, plain
from batch_screen.masking.text import (
    MaskedRecords,
    mask_text,
    mask_texts,
    masked_logger,
    printable_text,
    records_sent,
    safe_line,
    safe_text,
)

__all__ = [
    "MaskedRecords",
    "hide",
    "hide_keys",
    "mask_cell",
    "mask_number",
    "mask_text",
    "mask_texts",
    "masked_logger",
    "plain",
    "printable_text",
    "records_sent",
    "safe_line",
    "safe_text",
]
