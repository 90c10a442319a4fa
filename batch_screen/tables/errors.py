"""The errors table: rejected rows and failed lookups, each with a remedy.

errors.csv is for people and spreadsheets: masked, guarded against formulas, one line a row.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import msgspec
import polars as pl

from batch_screen.masking import mask_number, mask_text, plain, safe_line
from batch_screen.model import SPARED, TOO_LONG, OutcomeKind
from batch_screen.schema import ERRORS, NUMBER_ID, Column, conform, dtypes
from batch_screen.storage.parquet import scan_parquet

_AT_ONCE = 20_000
_CELLS_KEPT = 4096

MEANING = {
    OutcomeKind.SUCCESS: "the API answered with a value",
    OutcomeKind.NOT_FOUND: "the API does not know the number: inconclusive, neither pass nor fail",
    OutcomeKind.FORBIDDEN: "the account, the operator or the subscriber does not allow it",
    OutcomeKind.REJECTED: "the API took the request for invalid",
    OutcomeKind.NOT_APPLICABLE: "the signal does not exist for this number",
    OutcomeKind.BAD_RESPONSE: "the answer could not be read: nothing is guessed from it",
    OutcomeKind.RATE_LIMITED: "refused for the rate, again and again",
    OutcomeKind.TIMEOUT: "no answer in time, in all attempts",
    OutcomeKind.UNREACHABLE: "the connection was lost, in all attempts",
    OutcomeKind.SERVER_ERROR: "the API failed, in all attempts",
    OutcomeKind.SKIPPED: (
        "not asked: the server lacks the endpoint, or a plan spares it; see the reason"
    ),
}
REMEDY = {
    OutcomeKind.NOT_FOUND: "inconclusive: the API does not know the number; treat as unknown",
    OutcomeKind.FORBIDDEN: "the account or operator does not allow this lookup; ask the vendor",
    OutcomeKind.REJECTED: "the API refused the request as invalid; check number and window",
    OutcomeKind.NOT_APPLICABLE: "the signal does not exist for this number; treat as unknown",
    OutcomeKind.BAD_RESPONSE: "the answer was unreadable; report it to the vendor",
    OutcomeKind.RATE_LIMITED: "refused too often; lower pacing.rate_per_second, then retry",
    OutcomeKind.TIMEOUT: "no answer in time; batch-screen retry, or raise api.timeout_seconds",
    OutcomeKind.UNREACHABLE: "the connection was lost each time; batch-screen retry later",
    OutcomeKind.SERVER_ERROR: "the API failed each time; batch-screen retry later",
    OutcomeKind.SKIPPED: "not asked; see the reason",
}
_COME_LATER = (
    "the API asked this lookup to wait longer than pacing.max_retry_after_seconds; batch-screen "
    "retry later"
)
RETRY_CAN_HELP = frozenset(
    {
        OutcomeKind.RATE_LIMITED,
        OutcomeKind.TIMEOUT,
        OutcomeKind.UNREACHABLE,
        OutcomeKind.SERVER_ERROR,
        OutcomeKind.SKIPPED,
    }
)
_IS_TOO_LONG = (pl.col("reason") == TOO_LONG).fill_null(value=False)
FAILURE_DETAIL = (
    pl.when(_IS_TOO_LONG)
    .then(pl.concat_str("reason", "message", separator=": ", ignore_nulls=True))
    .otherwise(pl.coalesce("reason", "message"))
)
"""What errors says of a failed lookup: its reason, or the server's message."""
_CELL_CHARACTERS = 32_767
"""The longest cell of a spreadsheet."""
# Read as a number it would lose its zeros or its last digits.
_DIGITS = re.compile(r"[+-]?(?:0\d+|\d{12,}|\d+(?:[.,]\d+)?E[+-]?\d+)", re.IGNORECASE)
# At the start of a cell, or behind a semicolon or tab, where some spreadsheets cut lines;
# quotes, blanks and zero-width marks in front are dropped by some, full-width signs are read.
_FORMULA = re.compile(
    r"(^|[;\t\r\n])(?=[\s\"'\u200b-\u200f\u2060\ufeff]*"
    r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20\ufe62\ufe63\ufe66\ufe6b])"
)


def reject_errors(rejects: pl.DataFrame, remedies: Mapping[str, str], run_id: str) -> pl.DataFrame:
    """Rejects (``schema.REJECT``) as rows of ``schema.ERRORS``."""
    return conform(
        rejects.with_columns(
            run_id=pl.lit(run_id),
            kind=pl.lit("reject"),
            remedy=pl.col("reason").replace_strict(remedies, default=None, return_dtype=pl.String),
            retry_can_help=pl.lit(value=False),
        ),
        ERRORS,
    )


def lookup_errors(outcomes: pl.DataFrame, run_id: str) -> pl.DataFrame:
    """Failed lookups as rows of ``schema.ERRORS``, without those that a planner rule skipped."""
    failed = outcomes.filter(
        pl.col("outcome") != OutcomeKind.SUCCESS.value,
        ~pl.col("reason").is_in([*SPARED]).fill_null(value=False),
    )
    helps = [kind.value for kind in RETRY_CAN_HELP]
    remedies = {kind.value: text for kind, text in REMEDY.items()}
    return conform(
        failed.select(
            pl.col("^(e164|number_id)$"),
            "endpoint",
            "http_status",
            "code",
            "attempts",
            run_id=pl.lit(run_id),
            kind=pl.lit("failure"),
            reason=pl.col("outcome"),
            detail=FAILURE_DETAIL,
            remedy=pl.when(_IS_TOO_LONG)
            .then(pl.lit(_COME_LATER))
            .otherwise(pl.col("outcome").replace_strict(remedies, return_dtype=pl.String)),
            retry_can_help=pl.col("outcome").is_in(helps),
        ),
        ERRORS,
    )


def write_guarded_csv(
    file: BinaryIO,
    columns: tuple[Column, ...],
    parts: Iterable[pl.DataFrame],
    *,
    masked: bool = True,
) -> int:
    """Appends guarded CSV lines for parts of these columns; returns their number.

    They are masked, but for those of a sheet whose reader is to have whole numbers.
    """
    names = dtypes(columns).names()
    # Most of them are the same few words.
    text = lru_cache(_CELLS_KEPT)(_text if masked else _whole_text)
    count = 0
    # Spreadsheets take UTF-8 for granted only behind a byte order mark.
    file.write("\ufeff".encode() + _csv_lines([names]))
    for part in parts:
        for rows in part.select(names).iter_slices(_AT_ONCE):
            cells = [_cells(rows[name], text, masked=masked) for name in names]
            file.write(_csv_lines(zip(*cells, strict=True)))
            count += rows.height
    return count


def _cells(column: pl.Series, text: Callable[[str], str], *, masked: bool = True) -> list[str]:
    values = column.to_list()
    # A row's place has as many digits as a number; in a sheet of whole ones it may be kept a text.
    if masked and column.dtype != pl.String:
        return ["" if value is None else str(value) for value in values]
    if column.name == NUMBER_ID.name:  # its digits are no number's, and are left as they are
        text = _whole_text
    cell = _number if masked and column.name == "e164" else text
    return ["" if value is None else cell(str(value)) for value in values]


def _number(value: str) -> str:
    """As ``guard``, for a masked number, which can hold no other formula."""
    masked = mask_number(value)
    return f"'{masked}" if masked.startswith("+") else masked


def _text(value: str) -> str:
    return guard(mask_text(plain(value)))


def _whole_text(value: str) -> str:
    """As it stands, but kept a text: a number's zeros and last digits are not a figure's."""
    # Nearly all cells are printable as they are, which is found out a hundred times as fast.
    is_plain = value.isprintable() and len(value) <= _CELL_CHARACTERS
    cell = value if is_plain else plain(value, _CELL_CHARACTERS)
    return f"'{cell}" if _DIGITS.fullmatch(cell) else guard(cell)


def guard(cell: str) -> str:
    """Quotes a cell that a spreadsheet would run as a formula.

    >>> guard("+4915•••••89"), guard("mobile")
    ("'+4915•••••89", 'mobile')
    """
    return _FORMULA.sub(r"\1'", cell)


def _csv_lines(rows: Iterable[Iterable[str]]) -> bytes:
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\r\n").writerows(rows)
    return lines.getvalue().encode()


# The error report in few lines: failures by their kind, rejects with examples. Texts of a server
# or of the input are masked here; of endlessly many, the same ones are always shown.

_TEXT_CHARACTERS = 120


class Failure(msgspec.Struct, frozen=True):
    """Failed lookups of equal endpoint, outcome and status; ``code`` and ``detail`` are samples."""

    endpoint: str
    outcome: str
    http_status: int | None
    code: str
    detail: str
    lookups: int


class RejectExample(msgspec.Struct, frozen=True):
    """A sample of the rows rejected for one reason, masked."""

    raw_masked: str
    raw_region: str
    source_file: str
    source_row: int
    phone_column: str = ""


class ErrorSummary(msgspec.Struct, frozen=True):
    """Failed lookups, the most frequent first, and reject examples by reason."""

    failures: list[Failure]
    examples: dict[str, list[RejectExample]]


def summarise_errors(paths: Sequence[Path]) -> ErrorSummary:
    """Counts and examples from written parts of ``errors``, streamed."""
    if not paths:
        return ErrorSummary([], {})
    errors = scan_parquet(paths)
    return ErrorSummary(_failures(errors), _examples(errors))


def _failures(errors: pl.LazyFrame) -> list[Failure]:
    """Grouped by columns with few values: codes and texts are the server's, and unbounded."""
    keys = ("endpoint", "reason", "http_status")
    counted = (
        errors.filter(pl.col("kind") == "failure")
        .group_by(*keys)
        .agg(pl.len().alias("lookups"), pl.col("code", "detail").min())
        .sort("lookups", *keys, descending=[True, False, False, False])
        .collect(engine="streaming")
    )
    return [
        Failure(
            row["endpoint"],
            row["reason"],
            row["http_status"],
            _safe(row["code"]),
            _safe(row["detail"]),
            row["lookups"],
        )
        for row in counted.iter_rows(named=True)
    ]


def _examples(errors: pl.LazyFrame) -> dict[str, list[RejectExample]]:
    rejects = errors.filter(pl.col("kind") == "reject")
    rows = pl.col("row_index")
    ends = rejects.group_by("reason").agg(rows.min().alias("first"), rows.max().alias("last"))
    places = ends.collect(engine="streaming")
    wanted = sorted({*places["first"], *places["last"]})
    found = rejects.filter(rows.is_in(wanted)).sort("row_index").collect(engine="streaming")
    examples: dict[str, list[RejectExample]] = {}
    for row in found.iter_rows(named=True):
        names = ("raw_masked", "raw_region", "source_file", "phone_column")
        cell, region, file, column = (_safe(row[name]) for name in names)
        example = RejectExample(cell, region, file, row["source_row"], column)
        examples.setdefault(row["reason"], []).append(example)
    return dict(sorted(examples.items()))


def _safe(text: str | None) -> str:
    return safe_line(text or "", _TEXT_CHARACTERS)
