"""Finds kept columns whose cells read as numbers of the run, which ids are to hide.

A cell may have the number of any row, in any form: as E.164, as it is dialled at home, or as the
list writes it. So the forms of all numbers are held against the digits of all cells, on disk.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl

from batch_screen.errors import ConfigurationError
from batch_screen.masking import plain
from batch_screen.numbers.regions import calling_code
from batch_screen.schema import KEPT_PREFIX
from batch_screen.storage.parquet import read_parquet
from batch_screen.storage.partition import PASSING, PartitionedWriter

_FILES = 64
_DIGITS, _COLUMN = "digits", "column"
_LEAST, _MOST = 5, 18
"""Digits of what is compared: no number has fewer, and 64 bits hold no more."""

_BETWEEN = r"[\s().\-/\u00a0\u2010-\u2015\u202f]"
# Not behind a letter: C12345678 is nobody's number. Groups belong together, or each stands alone.
_RUNS = (
    rf"(?:^|[^0-9A-Za-z])[0-9](?:{_BETWEEN}{{0,3}}[0-9]){{{_LEAST - 1},{_MOST + 2}}}",
    rf"(?:^|[^0-9A-Za-z])[0-9]{{{_LEAST},{_MOST + 2}}}",
)
_OTHER_DIGITS = {
    chr(first + n): str(n) for first in (0x0660, 0x06F0, 0x0966, 0xFF10) for n in range(10)
}


class NumberCells:
    """Collects numbers and kept cells, batch by batch, and says which columns hold numbers."""

    def __init__(self, folder: Path, held_bytes: int) -> None:
        self._paths = {
            what: [folder / f"{what}-{n:05d}.spool" for n in range(_FILES)]
            for what in ("forms", "cells")
        }
        by_digits = pl.col(_DIGITS) % _FILES
        self._forms, self._cells = (
            PartitionedWriter(paths, by_digits, held_bytes // 2, PASSING)
            for paths in self._paths.values()
        )
        self._open = ExitStack()

    def __enter__(self) -> Self:
        for writer in (self._forms, self._cells):
            self._open.enter_context(writer)
        return self

    def add(self, batch: pl.DataFrame) -> None:
        """Takes a batch's numbers, ``e164``, ``region`` and ``raw`` if there, and its cells."""
        self._forms.add(_forms(batch))
        accepted = batch.drop_nulls("e164")  # of others nothing is kept
        for name in (name for name in batch.columns if name.startswith(KEPT_PREFIX)):
            self._cells.add(_digits_in(accepted[name]))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, at)

    def refuse(self) -> None:
        """Raises ``ConfigurationError`` where cells of a kept column read as numbers of the run."""
        if found := self.found():
            named = ", ".join(
                f"'{plain(name.removeprefix(KEPT_PREFIX), 60)}' ({count:,} places)"
                for name, count in found.items()
            )
            raise ConfigurationError(
                f"kept columns hold numbers of the list, which ids are to hide: {named}; leave "
                "them out of --keep-columns, or write what is no number behind a letter in the list"
            )

    def found(self) -> dict[str, int]:
        """Kept column → in how many places its cells read as numbers of the run."""
        counts: dict[str, int] = {}
        for forms, cells in zip(*self._paths.values(), strict=True):
            if forms.exists() and cells.exists():
                both = read_parquet(cells).join(read_parquet(forms), on=_DIGITS, how="semi")
                for name, count in both.group_by(_COLUMN).len().iter_rows():
                    counts[name] = counts.get(name, 0) + count
        for path in (path for paths in self._paths.values() for path in paths):
            path.unlink(missing_ok=True)
        return dict(sorted(counts.items()))


def _forms(batch: pl.DataFrame) -> pl.DataFrame:
    """The digits by which cells may name the batch's numbers, without zeros in front."""
    numbers = batch.drop_nulls("e164").select("e164", "region").unique()
    codes = {region: calling_code(region) for region in numbers["region"].drop_nulls().unique()}
    digits, code = pl.col("e164").str.strip_prefix("+"), pl.col("code")
    forms = numbers.with_columns(
        code=pl.col("region").replace_strict(codes, default=None, return_dtype=pl.String)
    ).select(
        digits.alias("e164"),
        national=digits.str.strip_prefix(code),
        # +49 (0) 151 …
        dialled=pl.concat_str(code, pl.lit("0"), digits.str.strip_prefix(code)),
    )
    found = [forms[name] for name in forms.columns]
    if "raw" in batch.columns:
        found.append(batch["raw"].str.replace_many(_OTHER_DIGITS).str.replace_all("[^0-9]", ""))
    together = pl.concat([series.alias(_DIGITS) for series in found]).drop_nulls()
    stripped = together.str.strip_chars_start("0").cast(pl.UInt64, strict=False)
    return stripped.drop_nulls().to_frame()


def _digits_in(cells: pl.Series) -> pl.DataFrame:
    """What of the cells may be a number: its digits, without zeros in front, and the column."""
    if cells.dtype.is_float():
        cells = cells.cast(pl.Int64, strict=False)
    texts = cells.cast(pl.String).rename("cell").drop_nulls().to_frame()
    text = pl.col("cell").str.replace_many(_OTHER_DIGITS)
    runs = texts.select(pl.concat_list(text.str.extract_all(run) for run in _RUNS).list.unique())
    digits = runs.to_series().explode().str.replace_all(r"[^0-9]", "").str.strip_chars_start("0")
    return (
        digits.cast(pl.UInt64, strict=False)
        .alias(_DIGITS)
        .to_frame()
        .drop_nulls()
        .with_columns(pl.lit(cells.name).alias(_COLUMN))
    )
