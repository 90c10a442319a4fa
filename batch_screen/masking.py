"""Keeps phone numbers, keys and terminal control characters out of what people read.

Used by every message, log line and report that leaves the private data files.
"""

from __future__ import annotations

import re
import unicodedata

# "+49 171 - 392 - 0012": up to three characters between two digits of one number.
_BETWEEN = r"[\s().\-/\u2010-\u2015]{0,3}"
_DATE = r"(?<!\d)(?:19|20)\d\d-[01]\d-[0-3]\d(?!\d)"
_RUN = r"(?<!\d)(?:19|20)\d{6}-[0-9a-f]{10}(?![0-9a-f])"
_FILE_DATE = rf"(?<=[a-z][_-])(?:19|20)\d\d[01]\d[0-3]\d(?!{_BETWEEN}\d)"  # list_20261123.csv
_SEGMENT = r"(?<!\d)\d{5}-\d{5}(?=\.journal)"  # damage is reported by the file's name
# Whatever stands before it: %2B49…, \u002B49… and tel49… are numbers too.
_NUMBER = re.compile(
    rf"(?P<known>{_DATE}|{_RUN}|{_FILE_DATE}|{_SEGMENT})|\+?\d(?:{_BETWEEN}\d){{6,}}", re.IGNORECASE
)
_SHOWN_HEAD = 5
_SHOWN_TAIL = 2
_BULLET = "•"


def mask_number(number: str) -> str:
    """The number with all but its first five and last two characters hidden.

    >>> mask_number("+491511234589")
    '+4915••••••89'
    >>> mask_number("112")
    '•••'
    """
    hidden = len(number) - _SHOWN_HEAD - _SHOWN_TAIL
    if hidden < 3:
        return _BULLET * len(number)
    return number[:_SHOWN_HEAD] + _BULLET * hidden + number[-_SHOWN_TAIL:]


def mask_cell(cell: str) -> str:
    """A cell of unknown content: its shape is kept, its digits and letters are not.

    Only the first two of its characters are shown, for it may hold anything: a number, a
    name, a password.

    >>> mask_cell("0171 3920012")
    '01•• •••••••'
    """
    text = plain(cell, 40)
    return text[:2] + "".join(_BULLET if c.isalnum() else c for c in text[2:])


def mask_text(text: str, secret: str = "") -> str:
    """Free text with every run of seven or more digits masked, and the secret replaced.

    >>> mask_text("no such number +491511234589 here")
    'no such number +4915••••••89 here'
    >>> mask_text("run 20261123-0123456789 of 2026-11-23")
    'run 20261123-0123456789 of 2026-11-23'
    """
    if secret:
        text = text.replace(secret, "[key]")
    return _NUMBER.sub(lambda m: m["known"] or mask_number(m.group()), text)


def plain(text: str, limit: int = 200) -> str:
    r"""One line of printable text: control, bidi and line-break characters become spaces.

    >>> plain("a\x1b[31mb\nc")
    'a [31mb c'
    """
    kept = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text[: limit * 4])
    kept = " ".join(kept.split())
    return kept if len(kept) <= limit else kept[: limit - 1] + "…"
