"""Sheets for people: streams rows into CSV, a workbook or Parquet, by the file's suffix.

No cell of them runs as a formula, and a phone number stays a text: behind an apostrophe in CSV, by
its type in a workbook.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

from batch_screen.errors import ConfigurationError
from batch_screen.masking import mask_cell, mask_number, mask_text, plain
from batch_screen.schema import KEPT_PREFIX, NUMBER_ID, Column, conform, dtypes
from batch_screen.storage.atomic import FILE_MODE, atomic_write
from batch_screen.storage.partition import RowGroupWriter
from batch_screen.storage.scratch import scratch_folder
from batch_screen.tables.errors import write_guarded_csv

CSV_SUFFIX, WORKBOOK_SUFFIX, PARQUET_SUFFIX = ".csv", ".xlsx", ".parquet"
SUFFIXES = (CSV_SUFFIX, WORKBOOK_SUFFIX, PARQUET_SUFFIX)
MOST_WORKBOOK_ROWS = 1_048_576  # the header is one of them
_CELL_CHARACTERS = 32_767
_WIDTHS = {pl.String: 24, pl.Int64: 10}
_EXACT = 10**11  # above, a spreadsheet shows figures rounded


def check_suffix(path: Path, option: str) -> None:
    """Raises ``ConfigurationError`` unless the suffix names one of the formats."""
    if path.suffix.lower() not in SUFFIXES:
        named = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        raise ConfigurationError(f"{option} {path}: its name has to end in {named}")
    if path.suffix.lower() == WORKBOOK_SUFFIX:
        _xlsxwriter()


def write_sheet(  # noqa: PLR0913 (a sheet, its rows, and how they are written)
    path: Path,
    title: str,
    columns: tuple[Column, ...],
    frames: Iterable[pl.DataFrame],
    *,
    masked: bool,
    mode: int = FILE_MODE,
) -> None:
    """Writes the rows, whole or not at all; ``masked`` hides numbers in texts."""
    if masked:  # a kept column of integers may be that of the numbers
        columns = tuple(
            c._replace(dtype=pl.String) if c.name.startswith(KEPT_PREFIX) else c for c in columns
        )
    rows = (conform(_masked(frame) if masked else frame, columns) for frame in frames)
    with atomic_write(path, mode=mode) as file:
        if path.suffix.lower() == CSV_SUFFIX:
            write_guarded_csv(file, columns, rows, masked=masked)
        elif path.suffix.lower() == WORKBOOK_SUFFIX:
            _write_workbook(file, title, columns, rows)
        else:
            with RowGroupWriter(path, file) as writer:
                for frame in rows:
                    writer.add(frame)
                if not writer.columns:  # without a row the file has its columns all the same
                    writer.add(conform(pl.DataFrame(), columns))


def _masked(frame: pl.DataFrame) -> pl.DataFrame:
    named = frame["column"].unique() if "column" in frame.columns else ()
    phones = {f"{KEPT_PREFIX}{name}" for name in named}

    def hidden(column: pl.Series) -> Mapping[str, str]:
        def mask(cell: str) -> str:
            masked = mask_number(cell) if column.name == "e164" else mask_text(plain(cell))
            # National numbers may be too short to be found in a text: six digits in Andorra.
            return mask_cell(cell) if masked == cell and column.name in phones else masked

        return {cell: mask(cell) for cell in column.unique().drop_nulls()}

    texts = frame.with_columns(pl.col(f"^{KEPT_PREFIX}.*$").cast(pl.String))
    return texts.with_columns(
        pl.col(column.name).replace_strict(hidden(column), return_dtype=pl.String)
        for column in texts.select(pl.col(pl.String))
        if column.null_count() < frame.height and column.name != NUMBER_ID.name
    )


def _write_workbook(
    file: BinaryIO, title: str, columns: tuple[Column, ...], frames: Iterable[pl.DataFrame]
) -> None:
    """Writes one sheet row by row: each goes to a scratch file before the next is made."""
    xlsxwriter = _xlsxwriter()
    names = dtypes(columns).names()
    with (
        _translated_failures(xlsxwriter),
        # Of its own, for the library leaves its scratch files behind where a disk is full.
        scratch_folder() as scratch,
        xlsxwriter.Workbook(
            _UntilFailure(file), {"constant_memory": True, "tmpdir": scratch}
        ) as book,
    ):
        sheet = book.add_worksheet(title)
        heading = book.add_format({"bold": True})
        sheet.freeze_panes(1, 0)
        for at, column in enumerate(columns):
            sheet.set_column(at, at, _WIDTHS.get(dtypes((column,))[column.name].base_type(), 16))
            sheet.write_string(0, at, column.name, heading)
        row = 0
        for frame in frames:
            for cells in frame.select(names).iter_rows():
                row += 1
                if row == MOST_WORKBOOK_ROWS:
                    raise ConfigurationError(
                        f"a sheet of a workbook holds {MOST_WORKBOOK_ROWS:,} rows, and these are "
                        f"more; write them to a file that ends in {CSV_SUFFIX}"
                    )
                for at, cell in enumerate(cells):
                    _write_cell(sheet, row, at, cell)
        sheet.autofilter(0, 0, row, len(names) - 1)


def _write_cell(sheet: Any, row: int, at: int, cell: Any) -> None:
    """Writes a figure as a figure if it is shown whole; all else as text, never as a formula."""
    if isinstance(cell, bool):
        sheet.write_boolean(row, at, cell)
    elif isinstance(cell, int | float) and abs(cell) < _EXACT:  # neither NaN nor infinite
        sheet.write_number(row, at, cell)
    elif cell is not None:
        text = str(cell)
        is_plain = text.isprintable() and len(text) <= _CELL_CHARACTERS
        sheet.write_string(row, at, text if is_plain else plain(text, _CELL_CHARACTERS))


class _UntilFailure:
    """A file that ignores all calls once one has failed.

    An archive that is given up closes itself once more, when nobody can catch what that raises.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file: BinaryIO | None = file

    def write(self, content: bytes) -> int:
        return self._called("write", content)

    def seek(self, *place: int) -> int:
        return self._called("seek", *place)

    def tell(self) -> int:
        return self._called("tell")

    def flush(self) -> None:
        self._called("flush")

    def _called(self, name: str, *given: Any) -> int:
        if self._file is None:
            return 0
        file, self._file = self._file, None
        result: int = getattr(file, name)(*given)
        self._file = file
        return result


def _xlsxwriter() -> Any:
    try:
        import xlsxwriter  # noqa: PLC0415 (an extra)
    except ImportError:
        raise ConfigurationError(
            "a workbook needs the extra excel: pip install 'batch-screen[excel]', or name a file "
            f"that ends in {CSV_SUFFIX}"
        ) from None
    return xlsxwriter


@contextmanager
def _translated_failures(xlsxwriter: Any) -> Iterator[None]:
    """Translates the library's errors into the system errors inside them."""
    try:
        yield
    except xlsxwriter.exceptions.FileCreateError as error:
        raise error.args[0] from error
