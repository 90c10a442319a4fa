"""Whether cells look like phone numbers, without any numbering plan.

Good enough to find a column, never to judge a cell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from batch_screen.model import ColumnKind

_WRAPPING = re.compile(r"^(?:tel:|=?\"|'|\s)+|[\"\s]+$", re.IGNORECASE)
_SHAPE = re.compile(r"[+(]?[\d\s().\-/\u00a0\u2010-\u2015\u202f+]+")
_GROUPED = re.compile(
    r"\(?(?:\+|00[1-9]\d{8}|0[1-9]\d{0,4}\)?[ /-])|\([1-9]\d+\)|[2-9]\d\d[-. ]\d{3}[-. ]\d{4}$"
)
_DATE = re.compile(
    r"\d{4}[-./]?(?:0[1-9]|1[0-2])[-./]?(?:0[1-9]|[12]\d|3[01])"
    r"|\d{1,2}[-./]\d{1,2}[-./](?:\d{2}|\d{4})"
)
_DECIMAL = re.compile(r"-?\d+[.,]\d+")
_SCIENTIFIC = re.compile(r"\d(?:[.,]\d+)?E\+?\d+", re.IGNORECASE)
_FLOAT_ARTEFACT = re.compile(r"[0-9]+\.0")
_ENOUGH = 0.6


def may_be_number(cell: str) -> bool:
    """Whether a cell has seven to fifteen digits in the shape of a number, no date or decimal.

    >>> may_be_number("0171 3920012"), may_be_number("491713920012"), may_be_number("2024-01-31")
    (True, True, False)
    """
    text = _bare(cell)
    digits = sum(c.isdigit() for c in text)
    is_other = _DATE.fullmatch(text) or _DECIMAL.fullmatch(text)
    return 7 <= digits <= 15 and bool(_SHAPE.fullmatch(text)) and not is_other


def is_clearly_number(cell: str) -> bool:
    """Whether a cell may be a number and starts with +, 00, 0 or ``tel:``."""
    starts = _bare(cell).lstrip("( ")[:1] in ("+", "0") or cell.strip()[:4].lower() == "tel:"
    return starts and may_be_number(cell)


def is_international(cell: str) -> bool:
    """Whether a cell may be a number and starts with +, as padded identifiers hardly do."""
    return is_clearly_number(cell) and _bare(cell).lstrip("( ")[:1] == "+"


def is_phone_shaped(cell: str) -> bool:
    """Whether a cell starts with + or 00, or is grouped as hardly anything but a number is.

    >>> [is_phone_shaped(cell) for cell in ("+12025550100", "(202) 555-0100", "123-45-6789")]
    [True, True, False]
    """
    return may_be_number(cell) and bool(_GROUPED.match(_bare(cell)))


def was_number(cell: str) -> bool:
    """Whether a cell was once a number, damaged ones included: enough to trust a column's name.

    >>> was_number("4.91713E+11"), was_number("491713920012.0"), was_number("yes")
    (True, True, False)
    """
    text = _bare(cell)
    return sum(c.isdigit() for c in text) >= 6 or bool(_SCIENTIFIC.fullmatch(text))


def is_data(cell: str) -> bool:
    """Whether a header cell is a number, whole or damaged, and so hardly a name."""
    text = _bare(cell)
    is_float = bool(_FLOAT_ARTEFACT.fullmatch(text)) and len(text) > 8
    return may_be_number(cell) or bool(_SCIENTIFIC.fullmatch(text)) or is_float


def most(cells: Iterable[str | None], claim: Callable[[str], bool], share: float = _ENOUGH) -> bool:
    """Whether a share of the cells that are not empty, and at least one, meets the claim."""
    filled = [cell for cell in cells if cell and cell.strip()]
    return bool(filled) and sum(map(claim, filled)) >= share * len(filled)


def csv_kind(cells: Iterable[str | None]) -> ColumnKind:
    """FLOAT if every cell ends in .0, as spreadsheets and data frames write whole numbers.

    >>> csv_kind(["491713920012.0", None, "491713920013.0"])
    <ColumnKind.FLOAT: 'float'>
    """
    filled = [cell for cell in cells if cell and cell.strip()]
    is_float = bool(filled) and all(_FLOAT_ARTEFACT.fullmatch(cell) for cell in filled)
    return ColumnKind.FLOAT if is_float else ColumnKind.TEXT


def _bare(cell: str) -> str:
    return _WRAPPING.sub("", cell)
