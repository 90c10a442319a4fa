"""Vectorised ``clean``: cells to digits for whole columns, for the usual ways of writing numbers.

Others (letters, extensions, tel: addresses, quotes in odd places) are left undecided, for the
scalar ``clean``, which is the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from batch_screen.masking import mask_number
from batch_screen.model import ColumnKind
from batch_screen.numbers import clean
from batch_screen.numbers.clean import (
    AREA_CODE,
    AREA_CODE_ABROAD,
    MAX_CELL_CHARACTERS,
    MAX_DIGITS,
    MIN_DIGITS,
    ascii_text,
)
from batch_screen.numbers.rules import Modifier, RejectReason

# Digits are kept as a value and a count: ``0049`` is the value 49 in a count of 4. Arithmetic on
# integers costs a tenth of the same on texts.

MOST_KEPT = 19
"""The most digits whose value fits into UInt64."""

_TENS = pl.Series([10**count for count in range(MOST_KEPT + 1)], dtype=pl.UInt64)


def ten_to(count: pl.Expr) -> pl.Expr:
    """Ten to the power of a count of up to ``MOST_KEPT``."""
    return pl.lit(_TENS).gather(count)


def starts_with(value: pl.Expr, count: pl.Expr, start: pl.Expr, length: pl.Expr) -> pl.Expr:
    """Whether the digits begin with those of ``start``, a value of ``length`` digits.

    >>> row = pl.DataFrame({"value": [491], "count": [4], "start": [4], "length": [2]})  # 0491
    >>> row.select(starts_with(*map(pl.col, row.columns))).item()
    True
    """
    behind = pl.when(count >= length).then(count - length)  # counts are unsigned: no less than 0
    return (value // ten_to(behind) == start).fill_null(value=False)


def behind_start(value: pl.Expr, count: pl.Expr, length: pl.Expr) -> pl.Expr:
    """The value of the digits after the first ``length``.

    >>> row = pl.DataFrame({"value": [49171], "count": [5], "length": [2]})
    >>> row.select(behind_start(*map(pl.col, row.columns))).item()
    171
    """
    return value % ten_to(count - length)


def starts_with_zeros(value: pl.Expr, count: pl.Expr, zeros: int) -> pl.Expr:
    """Whether the digits begin with that many zeros.

    >>> rows = pl.DataFrame({"value": [0, 4, 49], "count": [1, 3, 3]})
    >>> rows.select(starts_with_zeros(pl.col("value"), pl.col("count"), 2)).to_series().to_list()
    [False, True, False]
    """
    return starts_with(value, count, pl.lit(0, pl.UInt64), pl.lit(zeros, pl.UInt8))


def text_of(value: pl.Expr, count: pl.Expr) -> pl.Expr:
    """The digits as text, leading zeros included.

    >>> rows = pl.DataFrame({"value": [49, 0], "count": [4, 0]})
    >>> rows.select(text_of(pl.col("value"), pl.col("count"))).to_series().to_list()
    ['0049', '']
    """
    return pl.when(count > 0).then(value.cast(pl.String).str.zfill(count)).otherwise(pl.lit(""))


def value_of(text: pl.Expr) -> pl.Expr:
    """The value of a text of digits, with or without a +; null of any other text.

    >>> rows = pl.DataFrame({"text": ["0049", "", "+49", "4 9"]})
    >>> rows.select(value_of(pl.col("text"))).to_series().to_list()
    [49, 0, 49, None]
    """
    return pl.when(text.str.len_bytes() > 0).then(text.cast(pl.UInt64, strict=False)).otherwise(0)


def count_of(text: pl.Expr) -> pl.Expr:
    """The number of digits in a text that has nothing else."""
    return text.str.len_bytes().cast(pl.UInt8)


def split(frame: pl.DataFrame, condition: pl.Expr) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows where ``condition`` holds, and the others, those with null among them.

    Nothing is copied where all rows go the same way.

    >>> [part["n"].to_list() for part in split(pl.DataFrame({"n": [1, 2, 3]}), pl.col("n") > 1)]
    [[2, 3], [1]]
    """
    mask = frame.select(condition.fill_null(value=False).alias("condition")).to_series()
    found = mask.sum()
    if found in (0, frame.height):
        nothing = frame.clear()
        return (frame, nothing) if found else (nothing, frame)
    return frame.filter(mask), frame.filter(~mask)


def first_of(cases: Sequence[tuple[pl.Expr, pl.Expr]], otherwise: pl.Expr) -> pl.Expr:
    """The value of the first case that applies, as one expression.

    >>> n = pl.col("n")
    >>> case = first_of([(n < 0, pl.lit("less")), (n < 2, pl.lit("little"))], pl.lit("more"))
    >>> pl.DataFrame({"n": [-1, 1, 5]}).select(case).to_series().to_list()
    ['less', 'little', 'more']
    """
    for applies, value in reversed(cases):
        otherwise = pl.when(applies).then(value).otherwise(otherwise)
    return otherwise


_WRITTEN, _SCIENTIFIC, _DECIMAL, _WHOLE_FLOAT = (
    f"^(?:{of_cells.pattern})$"
    for of_cells in (clean.WRITTEN, clean.SCIENTIFIC, clean.DECIMAL, clean.WHOLE_FLOAT)
)
# The same as clean's two, written out: polars' expressions know no \1 and no look-behind.
_DATE = "|".join(
    rf"^[0-9]{{1,2}}{s}[0-9]{{1,2}}{s}(?:19|20)[0-9]{{2}}$"
    rf"|^(?:19|20)[0-9]{{2}}{s}[0-9]{{1,2}}{s}[0-9]{{1,2}}(?: .*)?$"
    for s in (r"\.", "/", "-")
)
_TWO_GROUPS = r"(?:^|[^0-9])(?:[0-9]{7,} +[0-9]{7,}|0[0-9]{5,} +0[0-9]{5,})"
# Usual writings that cannot be a date, a decimal or two numbers, whatever their digits: no full
# stop, one mark beside spaces, no second group of six digits. Most texts match, and this one test
# in place of all the others takes a fifth of their time.
_PLAIN = (
    r"^\+?(?:"
    r"(?:(?:[0-9]{1,5}[ /-]|\([0-9]{1,5}\)[ /-]?)(?:[0-9]{1,5} )*)?[0-9]+(?: [0-9]{1,5})*"
    r"|(?:00)?[0-9]{1,3} [0-9]{1,3}/[0-9]+"
    r"|\(?[0-9]{3}\)?[ -][0-9]{3}-[0-9]{4}"
    r")$"
)
_CONTROL = r"[\x00-\x1f\x7f-\x9f]"
_QUOTES = """['"=]"""
_EXCEL = r"""^(?:'([^'"=]*)|="([^'"=]*)")$"""
_WHOLE = {
    ColumnKind.INTEGER: (r"^([0-9]+)$", Modifier.INTEGER_COLUMN),
    ColumnKind.FLOAT: (_WHOLE_FLOAT, Modifier.FLOAT_COLUMN),
}
_NO_MARKS = dict.fromkeys("+()[].-/ ", "")
_DIALLED = pl.Schema(
    {
        "row": pl.UInt32,
        "value": pl.UInt64,
        "count": pl.UInt8,
        "has_plus": pl.Boolean,
        "modifier": pl.String,
    }
)
_RAW, _TEXT, _DIGITS = pl.col("raw"), pl.col("text"), pl.col("digits")
_VALUE, _COUNT = pl.col("value"), pl.col("count")
_IS_SHORT = _RAW.str.len_bytes() <= MAX_CELL_CHARACTERS


class Cells(NamedTuple):
    """Cleaned cells in three frames.

    ``dialled``: row, value and count of the digits, has_plus, modifier (empty, or a ``Modifier``);
    ``refused``: row, reason, detail; ``undecided``: row, for the scalar ``clean``.
    """

    dialled: pl.DataFrame
    refused: pl.DataFrame
    undecided: pl.DataFrame


def read_cells(cells: pl.DataFrame, kind: ColumnKind) -> Cells:
    """Cleans a column of cells; ``cells`` has the columns ``row`` and ``raw``."""
    found = _Gathered()
    if kind is ColumnKind.TEXT:
        # A cast takes just the cells of digits alone, with or without a +, in a quarter of the time
        # that a regular expression takes.
        value = pl.when(_IS_SHORT).then(_RAW.cast(pl.UInt64, strict=False))
        bare, others = split(cells.with_columns(value=value), _VALUE.is_not_null())
        has_plus = _RAW.str.starts_with("+")
        found.add(
            bare.select(
                "row",
                "value",
                count=count_of(_RAW) - has_plus.cast(pl.UInt8),
                has_plus=has_plus,
                modifier=pl.lit(""),
            )
        )
        if others.height:
            _read_texts(others.drop("value"), found)
    else:
        pattern, modifier = _WHOLE[kind]
        whole, others = split(cells, _RAW.str.contains(pattern) & _IS_SHORT)
        found.read(
            whole.select(
                "row",
                digits=_RAW.str.extract(pattern),
                has_plus=pl.lit(value=False),
                modifier=pl.lit(modifier.value),
            )
        )
        found.leave(others)
    return found.cells()


class _Gathered:
    """The parts of ``Cells`` while they are found."""

    def __init__(self) -> None:
        row = {"row": pl.UInt32}
        self._dialled = [pl.DataFrame(schema=_DIALLED)]
        self._refused = [pl.DataFrame(schema=row | {"reason": pl.String, "detail": pl.String})]
        self._undecided = [pl.DataFrame(schema=row)]

    def read(self, rows: pl.DataFrame) -> None:
        """Adds rows with ``digits`` as text."""
        read = rows.with_columns(value=value_of(_DIGITS), count=count_of(_DIGITS))
        self.add(read.select(_DIALLED.names()))

    def add(self, rows: pl.DataFrame) -> None:
        """Adds rows with value and count; far too many or too few digits are refused."""
        fine, others = split(rows, _COUNT.is_between(MIN_DIGITS, MOST_KEPT))
        self._dialled.append(fine)
        if not others.height:
            return
        for reason, condition in (
            (RejectReason.TOO_LONG, _COUNT > MAX_DIGITS),
            (RejectReason.TOO_SHORT, _COUNT < MIN_DIGITS),
        ):
            self.refuse(others.filter(condition), reason, pl.format("{} digits", _COUNT))
        # Twenty digits may be allowed but are no UInt64.
        self.leave(others.filter(_COUNT.is_between(MOST_KEPT + 1, MAX_DIGITS)))

    def refuse(
        self, rows: pl.DataFrame, reason: RejectReason, detail: str | pl.Expr | None = None
    ) -> None:
        """Adds rows that hold no phone number."""
        shown = detail if isinstance(detail, pl.Expr) else pl.lit(detail, pl.String)
        self._refused.append(rows.select("row", reason=pl.lit(reason.value), detail=shown))

    def leave(self, rows: pl.DataFrame) -> None:
        """Adds rows that are left to the scalar ``clean``."""
        self._undecided.append(rows.select("row"))

    def cells(self) -> Cells:
        """The three frames."""
        return Cells(*map(pl.concat, (self._dialled, self._refused, self._undecided)))


def _read_texts(cells: pl.DataFrame, found: _Gathered) -> None:
    """Reads cells that hold more than digits, the usual writings first."""
    plain, others = split(cells, _RAW.str.contains(_PLAIN) & _IS_SHORT)
    found.read(
        plain.select(
            "row",
            digits=_without_marks(_RAW),
            has_plus=_RAW.str.starts_with("+"),
            modifier=pl.lit(""),
        )
    )
    if not others.height:
        return
    texts = others.select("row", "raw", text=_RAW.str.strip_chars(" "), modifier=pl.lit(""))
    written, others = split(texts, _TEXT.str.contains(_WRITTEN) & _IS_SHORT)
    _read_written(written, found)
    if others.height:
        _read_others(others, found)


def _read_others(cells: pl.DataFrame, found: _Gathered) -> None:
    """Reads cells in other scripts and Excel's quoting; refuses what holds no number."""
    empty, cells = split(cells, _RAW.is_null())
    found.refuse(empty, RejectReason.EMPTY)
    is_odd = (_RAW.str.len_chars() > MAX_CELL_CHARACTERS) | _RAW.str.contains(_CONTROL)
    odd, cells = split(cells, is_odd)
    found.leave(odd)
    # As many bytes as characters: ASCII already, which need not pass through Python.
    cells, foreign = split(cells, _RAW.str.len_bytes() == _RAW.str.len_chars())
    if foreign.height:
        converted = pl.Series("text", map(ascii_text, foreign["raw"]), dtype=pl.String)
        cells = pl.concat([cells, foreign.with_columns(converted)])
    texts = cells.with_columns(_TEXT.str.strip_chars(" "))
    quoted, others = split(texts, _TEXT.str.contains(_QUOTES))
    undone, unknown = split(quoted, _TEXT.str.contains(_EXCEL))
    found.leave(unknown)
    undone = undone.with_columns(
        text=pl.coalesce(_TEXT.str.extract(_EXCEL, 1), _TEXT.str.extract(_EXCEL, 2)),
        modifier=pl.lit(Modifier.EXCEL_UNDONE.value),
    ).with_columns(_TEXT.str.strip_chars(" "))
    written, others = split(pl.concat([others, undone]), _TEXT.str.contains(_WRITTEN))
    _read_written(written, found)
    empty, others = split(others, _TEXT == "")
    found.refuse(empty, RejectReason.EMPTY)
    scientific, others = split(others, _TEXT.str.contains(_SCIENTIFIC))
    found.refuse(scientific, RejectReason.SCIENTIFIC_NOTATION)
    found.leave(others)


def _read_written(texts: pl.DataFrame, found: _Gathered) -> None:
    """Reads texts of digits and marks, after the tests of ``clean._damage``."""
    pointed, texts = split(texts, _TEXT.str.contains("[./-]"))
    if pointed.height:
        damaged, pointed = split(pointed, _TEXT.str.contains(_DECIMAL))
        found.refuse(damaged, RejectReason.FLOAT_ARTEFACT)
        dates, pointed = split(pointed, _TEXT.str.contains(_DATE))
        found.refuse(dates, RejectReason.NOT_A_NUMBER, "reads as a date")
        # Most slashes follow an area code; only the others pay for the exact test.
        slashed, pointed = split(pointed, _TEXT.str.find("/", literal=True) > AREA_CODE)
        several, slashed = split(slashed, _slash_separates())
        found.refuse(several, RejectReason.MULTIPLE_NUMBERS)
        texts = pl.concat([texts, pointed, slashed])
    several, texts = split(texts, _TEXT.str.contains(_TWO_GROUPS))
    found.refuse(several, RejectReason.MULTIPLE_NUMBERS)
    found.read(
        texts.select(
            "row",
            digits=_without_marks(_TEXT),
            has_plus=_TEXT.str.contains("+", literal=True),
            modifier="modifier",
        )
    )


def _without_marks(text: pl.Expr) -> pl.Expr:
    """The digits of a text of digits and marks."""
    return text.str.replace_many(_NO_MARKS)


def _slash_separates() -> pl.Expr:
    """``clean._slash_separates`` as an expression."""
    before = _TEXT.str.extract("^([^/]*)/.*[0-9]", 1)
    digits = _without_marks(before)
    is_long = before.str.contains("+", literal=True) | digits.str.starts_with("00")
    longest = pl.when(is_long).then(AREA_CODE_ABROAD).otherwise(AREA_CODE)
    return (digits.str.len_bytes() > longest).fill_null(value=False)


# ``masked`` hides what ``mask_number`` hides: its measures are read off a number that it masked.
_LONGEST = 16
_WHOLE_MASK = mask_number("+" + (_LONGEST - 1) * "0")
_BULLET = _WHOLE_MASK[_LONGEST // 2]
_HEAD = _WHOLE_MASK.index(_BULLET)
_TAIL = _LONGEST - 1 - _WHOLE_MASK.rindex(_BULLET)
_SHORTEST_SHOWN = next(n for n in range(_LONGEST) if mask_number(n * "0").startswith("0"))


def masked(column: str) -> pl.Expr:
    """``mask_number`` for a column of E.164 numbers.

    >>> numbers = pl.DataFrame({"e164": ["+491511234589", "+2907000"]})
    >>> numbers.select(masked("e164")).to_series().to_list()
    ['+4915••••••89', '••••••••']
    """
    number = pl.col(column)
    length = number.str.len_bytes().cast(pl.Int64)
    bullets = pl.lit(_LONGEST * _BULLET)
    hidden = bullets.str.slice(0, length - (_HEAD + _TAIL))
    shown = pl.concat_str(number.str.slice(0, _HEAD), hidden, number.str.slice(-_TAIL))
    return pl.when(length < _SHORTEST_SHOWN).then(bullets.str.slice(0, length)).otherwise(shown)
