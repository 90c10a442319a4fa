"""Rejected rows of a check: examples per reason, and all of them in a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import polars as pl

from batch_screen.input.layout import shown
from batch_screen.masking import mask_text, plain
from batch_screen.numbers.rules import REMEDY, RejectReason
from batch_screen.profile.facts import Rejected, RejectedCell
from batch_screen.profile.files import shown_file
from batch_screen.schema import CHECK_REJECTS, conform
from batch_screen.storage.parquet import row_groups
from batch_screen.tables.sheets import write_sheet

_EXAMPLES = 3
_AMBIGUOUS_EXAMPLES = 5
_CELL_CHARACTERS = 40
_LOOKED_AT = 1_000  # rows of a reason in a row group: bad cells of one export look alike
_REMEDIES = {reason.value: remedy for reason, remedy in REMEDY.items()}


def parts(path: Path) -> Iterator[pl.DataFrame]:
    """The plan's rejected rows, a row group at a time; none where there is no such file."""
    return row_groups(path) if path.exists() else iter(())


def rejected(counts: Mapping[str, int], rejects: Iterable[pl.DataFrame]) -> list[Rejected]:
    """Rejected rows per reason, the most frequent first, with examples."""
    found: dict[str, dict[str, RejectedCell]] = {reason: {} for reason in counts}
    wanted = {
        reason: _AMBIGUOUS_EXAMPLES if reason == RejectReason.AMBIGUOUS else _EXAMPLES
        for reason in counts
    }
    for part in rejects:
        lacking = [reason for reason in counts if len(found[reason]) < wanted[reason]]
        if not lacking:  # a list may have millions of rejects: the rest is not read
            break
        for reason in lacking:
            _gather(part.filter(pl.col("reason") == reason), found[reason], wanted[reason])
    return [
        Rejected(reason, rows, _REMEDIES.get(reason, ""), [*found[reason].values()])
        for reason, rows in counts.items()
    ]


def _gather(part: pl.DataFrame, found: dict[str, RejectedCell], wanted: int) -> None:
    """Adds the first rows that look different when masked, or that have an empty cell."""
    shape = pl.concat_str("raw_masked", pl.col("detail").fill_null(""))
    looks = pl.coalesce(shape, pl.col("row_index").cast(pl.String))
    distinct = part.head(_LOOKED_AT).with_columns(looks=looks)
    for row in distinct.unique("looks", keep="first", maintain_order=True).iter_rows(named=True):
        if len(found) >= wanted:
            return
        if row["looks"] not in found:
            raw = row["raw_masked"] or ""
            found[row["looks"]] = RejectedCell(
                shown_file(row["source_file"]),
                row["source_row"],
                mask_text(plain(raw, _CELL_CHARACTERS)),
                mask_text(plain(row["raw_region"] or "", _CELL_CHARACTERS)),
                mask_text(plain(row["detail"] or "")),
                shown(row["phone_column"]),
            )


def write_rejects(path: Path, rejects: Iterable[pl.DataFrame]) -> None:
    """Writes all rejects, masked like errors.csv, in the format that the path's ending says."""
    write_sheet(path, "rejected", CHECK_REJECTS, map(_masked, rejects), masked=True)


def _masked(part: pl.DataFrame) -> pl.DataFrame:
    names = {name: shown_file(name) for name in part["source_file"].unique()}
    columns = {name: shown(name) for name in part["phone_column"].unique()}
    return conform(
        part.with_columns(
            column=pl.col("phone_column").replace_strict(columns, return_dtype=pl.String),
            source_file=pl.col("source_file").replace_strict(names, return_dtype=pl.String),
            remedy=pl.col("reason").replace_strict(_REMEDIES, default="", return_dtype=pl.String),
        ),
        CHECK_REJECTS,
    )
