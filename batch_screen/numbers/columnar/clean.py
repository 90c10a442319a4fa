"""``clean`` for whole columns, for the cells that are written as phone numbers usually are.

What is written otherwise (letters, extensions, tel: addresses, quotes in odd places) is left
undecided: ``clean`` looks at those, one by one.
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

# Digits as numbers, for whole columns: ``0049`` is the value 49, in a count of 4 digits.
#
# Arithmetic on whole columns costs a tenth of what the same does with texts.

MOST_KEPT = 19
"""More digits than these are no UInt64."""

_TENS = pl.Series([10**count for count in range(MOST_KEPT + 1)], dtype=pl.UInt64)


def ten_to(count: pl.Expr) -> pl.Expr:
    """Ten to the power of a count of up to ``MOST_KEPT``."""
    return pl.lit(_TENS).gather(count)


def starts_with(value: pl.Expr, count: pl.Expr, start: pl.Expr, length: pl.Expr) -> pl.Expr:
    """Whether digits begin with others, of which there are ``length``.

    >>> row = pl.DataFrame({"value": [491], "count": [4], "start": [4], "length": [2]})  # 0491
    >>> row.select(starts_with(*map(pl.col, row.columns))).item()
    True
    """
    behind = pl.when(count >= length).then(count - length)
    return (value // ten_to(behind) == start).fill_null(value=False)


def behind_start(value: pl.Expr, count: pl.Expr, length: pl.Expr) -> pl.Expr:
    """The value of the digits behind the first ``length`` of them.

    >>> row = pl.DataFrame({"value": [49171], "count": [5], "length": [2]})
    >>> row.select(behind_start(*map(pl.col, row.columns))).item()
    171
    """
    return value % ten_to(count - length)


def starts_with_zeros(value: pl.Expr, count: pl.Expr, zeros: int) -> pl.Expr:
    """Whether digits begin with so many zeros.

    >>> rows = pl.DataFrame({"value": [0, 4, 49], "count": [1, 3, 3]})
    >>> rows.select(starts_with_zeros(pl.col("value"), pl.col("count"), 2)).to_series().to_list()
    [False, True, False]
    """
    return starts_with(value, count, pl.lit(0, pl.UInt64), pl.lit(zeros, pl.UInt8))


def text_of(value: pl.Expr, count: pl.Expr) -> pl.Expr:
    """The digits as a text.

    >>> rows = pl.DataFrame({"value": [49, 0], "count": [4, 0]})
    >>> rows.select(text_of(pl.col("value"), pl.col("count"))).to_series().to_list()
    ['0049', '']
    """
    return pl.when(count > 0).then(value.cast(pl.String).str.zfill(count)).otherwise(pl.lit(""))


def value_of(text: pl.Expr) -> pl.Expr:
    """The value of a text of digits, which may have a + in front; null of any other text.

    >>> rows = pl.DataFrame({"text": ["0049", "", "+49", "4 9"]})
    >>> rows.select(value_of(pl.col("text"))).to_series().to_list()
    [49, 0, 49, None]
    """
    return pl.when(text.str.len_bytes() > 0).then(text.cast(pl.UInt64, strict=False)).otherwise(0)


def count_of(text: pl.Expr) -> pl.Expr:
    """How many digits a text of nothing but digits has."""
    return text.str.len_bytes().cast(pl.UInt8)


# Cases for whole columns: rows that go separate ways, and expressions that differ by case.


def split(frame: pl.DataFrame, is_so: pl.Expr) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows for which it is so, and the others; what need not be divided is not copied.

    Where it is null, it is not so.

    >>> [part["n"].to_list() for part in split(pl.DataFrame({"n": [1, 2, 3]}), pl.col("n") > 1)]
    [[2, 3], [1]]
    """
    mask = frame.select(is_so.fill_null(value=False).alias("is_so")).to_series()
    found = mask.sum()
    if found in (0, frame.height):
        nothing = frame.clear()
        return (frame, nothing) if found else (nothing, frame)
    return frame.filter(mask), frame.filter(~mask)


def first_of(cases: Sequence[tuple[pl.Expr, pl.Expr]], otherwise: pl.Expr) -> pl.Expr:
    """The value of the first case that applies.

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
# These two say the same as clean's, which polars cannot: it knows no \1 and no look-behind.
_DATE = "|".join(
    rf"^[0-9]{{1,2}}{s}[0-9]{{1,2}}{s}(?:19|20)[0-9]{{2}}$"
    rf"|^(?:19|20)[0-9]{{2}}{s}[0-9]{{1,2}}{s}[0-9]{{1,2}}(?: .*)?$"
    for s in (r"\.", "/", "-")
)
_TWO_GROUPS = r"(?:^|[^0-9])(?:[0-9]{7,} +[0-9]{7,}|0[0-9]{5,} +0[0-9]{5,})"
# The usual writings that are no date and no decimal, and not two numbers, whatever the digits:
# no full stop, one mark beside spaces, and no second group of six digits. Most texts are like that,
# and one look at them takes a fifth of the time.
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
    """Rows by what their cells hold.

    ``dialled``: row, value and count of the digits (as ``value_of`` gives them), has_plus, modifier
    (empty, or a ``Modifier``); ``refused``: row, reason, detail; ``undecided``: row.
    """

    dialled: pl.DataFrame
    refused: pl.DataFrame
    undecided: pl.DataFrame


def read_cells(cells: pl.DataFrame, kind: ColumnKind) -> Cells:
    """What the cells hold; ``cells`` has the columns ``row`` and ``raw``."""
    dialled = _Dialled()
    if kind is ColumnKind.TEXT:
        bare, others = split(cells.with_columns(value=_value_of_bare()), _VALUE.is_not_null())
        has_plus = _RAW.str.starts_with("+")
        dialled.add(
            bare.select(
                "row",
                "value",
                count=count_of(_RAW) - has_plus.cast(pl.UInt8),
                has_plus=has_plus,
                modifier=pl.lit(""),
            )
        )
        if others.height:
            _read_texts(others.drop("value"), dialled)
    else:
        pattern, modifier = _WHOLE[kind]
        whole, others = split(cells, _RAW.str.contains(pattern) & _IS_SHORT)
        dialled.read(
            whole.select(
                "row",
                digits=_RAW.str.extract(pattern),
                has_plus=pl.lit(value=False),
                modifier=pl.lit(modifier.value),
            )
        )
        dialled.leave(others)
    return dialled.taken()


class _Dialled:
    """Gathers rows where they belong."""

    def __init__(self) -> None:
        row = {"row": pl.UInt32}
        self._dialled = [pl.DataFrame(schema=_DIALLED)]
        self._refused = [pl.DataFrame(schema=row | {"reason": pl.String, "detail": pl.String})]
        self._undecided = [pl.DataFrame(schema=row)]

    def read(self, rows: pl.DataFrame) -> None:
        """Rows with ``digits`` as texts."""
        read = rows.with_columns(value=value_of(_DIGITS), count=count_of(_DIGITS))
        self.add(read.select(_DIALLED.names()))

    def add(self, rows: pl.DataFrame) -> None:
        """Rows with digits; refused where they are far too many or too few."""
        fine, others = split(rows, _COUNT.is_between(MIN_DIGITS, MOST_KEPT))
        self._dialled.append(fine)
        if not others.height:
            return
        for reason, is_so in (
            (RejectReason.TOO_LONG, _COUNT > MAX_DIGITS),
            (RejectReason.TOO_SHORT, _COUNT < MIN_DIGITS),
        ):
            self.refuse(others.filter(is_so), reason, pl.format("{} digits", _COUNT))
        self.leave(others.filter(_COUNT.is_between(MOST_KEPT + 1, MAX_DIGITS)))

    def refuse(
        self, rows: pl.DataFrame, reason: RejectReason, detail: str | pl.Expr | None = None
    ) -> None:
        """Rows that hold no phone number."""
        told = detail if isinstance(detail, pl.Expr) else pl.lit(detail, pl.String)
        self._refused.append(rows.select("row", reason=pl.lit(reason.value), detail=told))

    def leave(self, rows: pl.DataFrame) -> None:
        """Rows about which nothing is said here."""
        self._undecided.append(rows.select("row"))

    def taken(self) -> Cells:
        """All of them."""
        return Cells(*map(pl.concat, (self._dialled, self._refused, self._undecided)))


def _read_texts(cells: pl.DataFrame, dialled: _Dialled) -> None:
    """Cells that hold more than digits: most are written as numbers are."""
    plain, others = split(cells, _RAW.str.contains(_PLAIN) & _IS_SHORT)
    dialled.read(
        plain.select(
            "row",
            digits=_without_marks(_RAW),
            has_plus=_RAW.str.starts_with("+"),
            modifier=pl.lit(""),
        )
    )
    if others.height:
        _read_doubtful(others, dialled)


def _read_doubtful(cells: pl.DataFrame, dialled: _Dialled) -> None:
    """Texts that may be damaged, and those in other writings."""
    texts = cells.select("row", "raw", text=_RAW.str.strip_chars(" "), modifier=pl.lit(""))
    is_written = _TEXT.str.contains(_WRITTEN) & _IS_SHORT
    written, others = split(texts, is_written)
    _read_written(written, dialled)
    if others.height:
        _read_others(others, dialled)


def _read_others(cells: pl.DataFrame, dialled: _Dialled) -> None:
    """Cells in other scripts, undone Excel, and what holds no number."""
    empty, cells = split(cells, _RAW.is_null())
    dialled.refuse(empty, RejectReason.EMPTY)
    is_odd = (_RAW.str.len_chars() > MAX_CELL_CHARACTERS) | _RAW.str.contains(_CONTROL)
    odd, cells = split(cells, is_odd)
    dialled.leave(odd)
    texts = _in_ascii(cells).with_columns(_TEXT.str.strip_chars(" "))
    quoted, others = split(texts, _TEXT.str.contains(_QUOTES))
    undone, unknown = split(quoted, _TEXT.str.contains(_EXCEL))
    dialled.leave(unknown)
    undone = undone.with_columns(
        text=pl.coalesce(_TEXT.str.extract(_EXCEL, 1), _TEXT.str.extract(_EXCEL, 2)),
        modifier=pl.lit(Modifier.EXCEL_UNDONE.value),
    ).with_columns(_TEXT.str.strip_chars(" "))
    written, others = split(pl.concat([others, undone]), _TEXT.str.contains(_WRITTEN))
    _read_written(written, dialled)
    empty, others = split(others, _TEXT == "")
    dialled.refuse(empty, RejectReason.EMPTY)
    scientific, others = split(others, _TEXT.str.contains(_SCIENTIFIC))
    dialled.refuse(scientific, RejectReason.SCIENTIFIC_NOTATION)
    dialled.leave(others)


def _read_written(texts: pl.DataFrame, dialled: _Dialled) -> None:
    """Texts of digits and what stands between them: as ``clean._damage``, then the digits."""
    pointed, texts = split(texts, _TEXT.str.contains("[./-]"))
    if pointed.height:
        damaged, pointed = split(pointed, _TEXT.str.contains(_DECIMAL))
        dialled.refuse(damaged, RejectReason.FLOAT_ARTEFACT)
        dates, pointed = split(pointed, _TEXT.str.contains(_DATE))
        dialled.refuse(dates, RejectReason.NOT_A_NUMBER, "reads as a date")
        # Most slashes stand behind an area code: those need no closer look.
        slashed, pointed = split(pointed, _TEXT.str.find("/", literal=True) > AREA_CODE)
        several, slashed = split(slashed, _slash_separates())
        dialled.refuse(several, RejectReason.MULTIPLE_NUMBERS)
        texts = pl.concat([texts, pointed, slashed])
    several, texts = split(texts, _TEXT.str.contains(_TWO_GROUPS))
    dialled.refuse(several, RejectReason.MULTIPLE_NUMBERS)
    dialled.read(
        texts.select(
            "row",
            digits=_without_marks(_TEXT),
            has_plus=_TEXT.str.contains("+", literal=True),
            modifier="modifier",
        )
    )


def _without_marks(text: pl.Expr) -> pl.Expr:
    """The digits of texts in which only marks stand between them."""
    return text.str.replace_many(_NO_MARKS)


def _value_of_bare() -> pl.Expr:
    """The value of cells of digits alone, maybe behind a +; null of the others.

    A cast takes just these, where a regular expression would take four times as long.
    """
    return pl.when(_IS_SHORT).then(_RAW.cast(pl.UInt64, strict=False))


def _slash_separates() -> pl.Expr:
    """As ``clean._slash_separates``."""
    before = _TEXT.str.extract("^([^/]*)/.*[0-9]", 1)
    digits = _without_marks(before)
    is_long = before.str.contains("+", literal=True) | digits.str.starts_with("00")
    longest = pl.when(is_long).then(AREA_CODE_ABROAD).otherwise(AREA_CODE)
    return (digits.str.len_bytes() > longest).fill_null(value=False)


def _in_ascii(cells: pl.DataFrame) -> pl.DataFrame:
    """The cells with the digits, spaces and dashes of all scripts in ``text`` as those of ASCII."""
    plain, others = split(cells, _RAW.str.len_bytes() == _RAW.str.len_chars())
    if not others.height:
        return plain
    converted = pl.Series("text", map(ascii_text, others["raw"]), dtype=pl.String)
    return pl.concat([plain, others.with_columns(converted)])


# ``mask_number`` for whole columns of E.164 numbers.

_LONGEST = 16
_WHOLE_MASK = mask_number("+" + (_LONGEST - 1) * "0")
_BULLET = _WHOLE_MASK[_LONGEST // 2]
_HEAD = _WHOLE_MASK.index(_BULLET)
_TAIL = _LONGEST - 1 - _WHOLE_MASK.rindex(_BULLET)
_SHORTEST_SHOWN = next(n for n in range(_LONGEST) if mask_number(n * "0").startswith("0"))


def masked(column: str) -> pl.Expr:
    """The numbers of a column, masked.

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
