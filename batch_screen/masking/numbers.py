"""Masking of phone numbers in cells and in free text, in any script, escape or grouping."""

from __future__ import annotations

import re
import unicodedata
from functools import cache


def plain(text: str, limit: int = 200) -> str:
    r"""One line of printable text: control, bidi and line-break characters become spaces.

    >>> plain("a\x1b[31mb\nc")
    'a [31mb c'
    """
    kept = " ".join(printable(text[: limit * 4]).split())
    return kept if len(kept) <= limit else kept[: limit - 1] + "…"


def printable(text: str) -> str:
    """The text with each unprintable character replaced by a space; its length is kept."""
    return "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)


# A digit of any script; also escaped for an address (%30, %D9%A0) or for JSON and repr.
_DIGIT = (
    r"(?:\d|%3[0-9]|%EF%BC%9[0-9]|%D9%A[0-9]|%DB%B[0-9]"
    r"|\\x3[0-9]|\\u(?:003|ff1|066|06f)[0-9])"
)
# What may stand between two digits of one number, at most four of it. A comma with a space
# is left out: it stands between figures.
_GAP = (
    rf"(?:(?!{_DIGIT})(?:(?:%[0-9a-f]{{2}})+|\\x[0-9a-f]{{2}}|\\u[0-9a-f]{{4}}|\\[nrtvf]"
    r"|&(?:\#\w{2,5}|[a-z]{2,6});|\x1b\[[\d;]*[a-z]|,(?! \d)"
    r"|(?!\x1b\[)[\s\x00-\x1f\x7f-\x9f().;|_/\\\[\]{}'\"`´\-\u00ad\u00ab\u00bb\u00b7\u058a\u05be\u061c"
    r"\u1400\u1806\u180e\u200b-\u200f\u2010-\u2015\u2018-\u201f\u2024\u2027\u202a-\u202e"
    r"\u2032\u2033\u2043\u2044\u2060-\u206f\u2212\u2215\u2219\u22c5\u2e3a\u2e3b\u301c\u3030"
    r"\u30fb\u30fc\ufe31\ufe32\ufe58\ufe63\ufeff"
    r"\uff02\uff07-\uff09\uff0d-\uff0f\uff1b\uff3f])){0,4}"
)

# What is no number although it has seven digits. Nothing of it may go on in digits.
_DAY = r"(?:19|20)\d\d-[01]\d-[0-3]\d(?!\d)"
_RUN = r"(?:19|20)\d{6}-[0-9a-f]{10}(?![0-9a-f])"
_END = rf"(?!{_GAP}(?!{_DAY}|{_RUN}){_DIGIT})"
_TIME = r"(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)?)"
_UUID = (
    r"(?<![0-9a-z])(?!\d{8})[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}"
    r"-(?!\d{7})[0-9a-f]{12}(?![0-9a-z])"
)
# The leading digits of a block of numbers, as +4915…: fewer than any whole number has.
_BLOCK = rf"\+[1-9]\d{{1,5}}…(?!{_DIGIT})"
_KNOWN = "|".join(
    (
        _BLOCK,
        rf"(?<!\d){_DAY}{_TIME}?{_END}",
        rf"(?<!\d){_RUN}",
        # list_20261123.csv; a Danish number may look the same, but has no such neighbours.
        rf"(?<=[a-z][_-])20\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?=\.[a-z]){_END}",
        r"(?<!\d)00[01]\d\d-0\d{4}(?=\.(?:journal|parquet))",  # damage is reported by file
        rf"(?<![\d,.+])[1-9]\d{{0,2}}(?:,\d{{3}}){{1,2}}(?:\.\d\d?)?(?!,?\d){_END}",
        r"(?<=https://)(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?(?![\d.])",
        r"(?<=http://)(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?(?![\d.])",
        # A made-up one could hold a number where a true one hardly ever has digits alone.
        _UUID,
        r"(?<![0-9a-z])(?=\d{0,9}[a-f])[0-9a-f]{64}(?![0-9a-z])",
    )
)
# Whatever stands before it: %2B49…, \u002B49… and tel49… are numbers too. With a plus it is
# one from five digits on: those of small islands are short.
_NUMBER = (
    rf"(?P<known>{_KNOWN})|\+{_GAP}{_DIGIT}(?:{_GAP}{_DIGIT}){{4,}}"
    rf"|{_DIGIT}(?:{_GAP}{_DIGIT}){{6,}}"
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
    """A cell of unknown content as its shape: letters and digits beyond the second are hidden.

    It may hold anything: a number, a name, a password.

    >>> mask_cell("0171 3920012")
    '01•• •••••••'
    """
    text = plain(cell, 40)
    return text[:2] + "".join(_BULLET if c.isalnum() else c for c in text[2:])


def mask_numbers(text: str) -> str:
    """Free text with every run of seven or more digits masked.

    Dates, run ids, figures with separators, addresses of servers, digests and correlators
    are left where no number can hide in them.

    >>> mask_numbers("no such number +491511234589 here")
    'no such number +4915••••••89 here'
    """
    return _number().sub(lambda m: m["known"] or mask_number(m.group()), text)


@cache
def _number() -> re.Pattern[str]:
    return re.compile(_NUMBER, re.IGNORECASE)  # takes as long as all of click, and help needs none
