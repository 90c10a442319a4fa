"""Restrictions on normalised numbers: the opt-out list, and allowed and denied regions.

Works on whole columns, after ``frame``. Knows no files: the opt-out list comes as batches of
cells, and is kept as sorted integers of eight bytes.

The opt-out list outweighs everything. Lists of regions do not apply to ``numbers.test_numbers``,
which are the vendor's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import polars as pl

from batch_screen.config.screening import Ambiguous, Numbers, Strictness
from batch_screen.errors import InputError
from batch_screen.masking import mask_cell
from batch_screen.model import ColumnKind
from batch_screen.numbers.frame import normalise_frame
from batch_screen.numbers.normalise import Normaliser
from batch_screen.numbers.rules import REMEDY, RejectReason, Rule

NOBODY = pl.Series("opted_out", [], dtype=pl.UInt64)
"""The empty opt-out list."""

_ANSWER = ("e164", "region", "number_type", "rule")
# With a + or a zero in front, a cell has one reading whatever numbers.ambiguous says.
_ONE_READING = r"^[^\d+]*[0+]"


class OptOutCells(NamedTuple):
    """Cells of an opt-out list, in frames of source_row, raw, raw_region and ragged.

    ``name`` is the list's in messages, and ``therefore`` what a cell that is no number leads to.
    """

    batches: Iterable[pl.DataFrame]
    kind: ColumnKind
    name: str
    therefore: str = "nothing is asked, for it may be somebody who objected"


def permit(judged: pl.DataFrame, settings: Numbers, opted_out: pl.Series) -> pl.DataFrame:
    """Rejects the numbers of a normalised frame that may not be asked about.

    ``opted_out`` comes from ``read_opt_outs``. Rows, order and columns stay as they are.
    """
    allowed, denied = settings.allowed_regions, settings.denied_regions
    if opted_out.is_empty() and not allowed and not denied:
        return judged
    region, is_test_number = pl.col("region"), pl.col("rule").str.starts_with(Rule.TEST_NUMBER)
    # A number without a known region is in neither list.
    is_allowed = region.is_in(allowed).fill_null(value=False) if allowed else pl.lit(value=True)
    reason = (
        pl.when(pl.col("e164").is_null())
        .then(pl.col("reject_reason"))
        .when(is_listed(judged["e164"], opted_out))
        .then(pl.lit(RejectReason.OPTED_OUT))
        .when(is_test_number)
        .then(None)
        .when(region.is_in(denied))
        .then(pl.lit(RejectReason.REGION_DENIED))
        .when(~is_allowed)
        .then(pl.lit(RejectReason.REGION_NOT_ALLOWED))
    )
    by_region = [RejectReason.REGION_DENIED, RejectReason.REGION_NOT_ALLOWED]
    detail = (
        pl.when(pl.col("reject_reason").is_in(by_region))
        .then(pl.format("region {}", region.fill_null("unknown")))
        .otherwise(pl.col("reject_detail"))
    )
    is_accepted = pl.col("reject_reason").is_null()
    # One after the other: the detail and the answers depend on the reason that was just found.
    return (
        judged.with_columns(reject_reason=reason)
        .with_columns(reject_detail=detail)
        .with_columns(pl.when(is_accepted).then(pl.col(name)).alias(name) for name in _ANSWER)
    )


def read_opt_outs(cells: OptOutCells, settings: Numbers, default_region: str) -> pl.Series:
    """The numbers of the opt-out list as unique, sorted integers (UInt64).

    Cells are read as the input's, at strictness ``possible``; digits that can be two numbers opt
    both out. Empty cells are passed over. Raises ``InputError`` for any other cell, because a wrong
    guess would ask about somebody who objected.
    """
    lenient = settings.model_copy(update={"strictness": Strictness.POSSIBLE})
    own, *forced = (
        Normaliser(lenient.model_copy(update=change), default_region, cells.kind)
        for change in (
            {},
            {"ambiguous": Ambiguous.NATIONAL},
            {"ambiguous": Ambiguous.INTERNATIONAL},
        )
    )
    parts = [_read(batch, own, forced, cells) for batch in cells.batches]
    return pl.concat([NOBODY, *parts]).unique().sort()


def _read(
    batch: pl.DataFrame, own: Normaliser, forced: Iterable[Normaliser], cells: OptOutCells
) -> pl.Series:
    """The numbers of a batch, in every reading that they have; raises for a cell without one."""
    columns = ["source_row", "raw", "raw_region", "ragged"]
    read = normalise_frame(batch.select(columns), own)
    reason = pl.col("reject_reason")
    two_ways = read.filter(
        pl.col("e164").is_not_null() | (reason == RejectReason.AMBIGUOUS),
        ~pl.col("raw").str.contains(_ONE_READING),
    ).select(columns)
    others = pl.concat(
        [normalise_frame(two_ways, each).filter(pl.col("e164").is_not_null()) for each in forced]
    )
    unread = read.filter(
        pl.col("ragged")
        | (
            reason.is_not_null()
            & (reason != RejectReason.EMPTY)
            & ~pl.col("source_row").is_in(others["source_row"].implode())
        )
    )
    if not unread.is_empty():
        row = unread.row(0, named=True)
        why = RejectReason.RAGGED_ROW if row["ragged"] else RejectReason(row["reject_reason"])
        cell = f" ({mask_cell(row['raw'])})" if row["raw"] else ""
        more = f", nor can {unread.height - 1:,} more" if unread.height > 1 else ""
        raise InputError(
            f"{cells.name}: row {row['source_row']}{cell} cannot be read as a number "
            f"({why}){more}; {cells.therefore}. {REMEDY[why]}"
        )
    return pl.concat([_digits(read["e164"].drop_nulls()), _digits(others["e164"])])


def _digits(e164: pl.Series) -> pl.Series:
    return e164.str.strip_prefix("+").cast(pl.UInt64).alias(NOBODY.name)


def is_listed(e164: pl.Series, listed: pl.Series) -> pl.Series:
    """Where a number is in the sorted list that ``read_opt_outs`` returns."""
    if listed.is_empty():
        return pl.repeat(value=False, n=e164.len(), dtype=pl.Boolean, eager=True)
    # Searched: a hash set of a million would be built anew for every batch.
    sought = _digits(e164).fill_null(0)  # no number is 0
    places = listed.search_sorted(sought).clip(upper_bound=listed.len() - 1)
    return listed.gather(places) == sought
