"""Text that people may read: masked, on one line, without what steers a terminal."""

from __future__ import annotations

from batch_screen.masking.keys import hide, hide_keys
from batch_screen.masking.numbers import mask_numbers
from batch_screen.masking.printable import plain, printable

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
