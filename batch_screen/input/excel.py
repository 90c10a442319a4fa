"""Workbooks of Excel and LibreOffice: one sheet's cells as text.

A sheet has a million rows at most and is held in memory as a whole: no reader can stream the older
formats. Needs the extra ``excel``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from batch_screen.config.screening import Input
from batch_screen.errors import InputError, empty_input
from batch_screen.input.dialect import header_row
from batch_screen.input.files import translated
from batch_screen.input.layout import (
    ChosenColumns,
    FileLayout,
    InputColumn,
    Sheet,
    before,
    lines_above,
    shown,
    unique,
)
from batch_screen.input.totals import without_totals
from batch_screen.model import ColumnKind
from batch_screen.schema import KEPT_PREFIX

BATCH_ROWS = 50_000
_SAMPLE_ROWS = 1_000
_LISTED = 10
_NUMERIC = {"int": ColumnKind.INTEGER, "float": ColumnKind.FLOAT}


def describe(path: Path, name: str, settings: Input) -> FileLayout:
    """The layout of the sheet that is named, or of the only one with rows.

    InputError where several have rows and none is named: the others' would be lost.
    """
    with _reading(name):
        book = _opened(path, name)
        sheet = _chosen(book, name, settings)
        if (
            settings.skip_lines
            >= book.load_sheet(sheet, header_row=None, n_rows=0).total_height
            > 0
        ):
            raise InputError(
                f"{name}: --skip-lines {settings.skip_lines} leaves no row of its sheet "
                f"{shown(sheet)!r}; skip fewer"
            )
        cells = _cells(book, sheet, settings.skip_lines)
        head = [[cell or "" for cell in row] for row in cells.head(_SAMPLE_ROWS).iter_rows()]
        filled = [i for i, row in enumerate(head) if any(cell.strip() for cell in row)]
        if not filled:
            raise empty_input(f"{name}: its sheet {shown(sheet)!r} holds no rows; name another")
        above = 0
        header = [""] * cells.width
        first = 0
        if settings.has_header:
            above = filled[0]
            if not settings.skip_lines:
                above += header_row(head[above:], settings)
            header, first = head[above], above + 1
        rows = cells.slice(first).pipe(_without_blanks)
        if rows.is_empty():
            raise empty_input(f"{name}: it has a header but no rows; export the list again")
        skipped = sum(1 for i in filled if i < above)
        # As their cells are stored: a column of numbers has lost its zeros.
        types = book.load_sheet(
            sheet, header_row=None, skip_rows=settings.skip_lines + first, schema_sample_rows=None
        ).available_columns()
        kinds = {info.index: _NUMERIC.get(info.dtype, ColumnKind.TEXT) for info in types}
        columns = tuple(
            InputColumn(
                label,
                position,
                tuple(rows.to_series(position).head(_SAMPLE_ROWS)),
                kind=kinds.get(position, ColumnKind.TEXT),
                type_name=kinds.get(position, ColumnKind.TEXT).value,
                duplicate_of=duplicate_of,
            )
            for position, (label, duplicate_of) in enumerate(unique(header))
        )
        place = Sheet(sheet, settings.skip_lines + first, settings.has_header, rows.height)
        notes = (lines_above(skipped),) if skipped else ()
        return FileLayout(path, name, columns, None, sheet=place, notes=notes)


def read(layout: FileLayout, sheet: Sheet, chosen: ChosenColumns) -> Iterator[pl.DataFrame]:
    """Rows in file order: ``raw_names``, raw_region (String), ragged (false), in_… (String)."""
    with _reading(layout.name):
        book = _opened(layout.path, layout.name)
        rows = _cells(book, sheet.name, sheet.first_row).pipe(_without_blanks)
        del book
        region = pl.nth(chosen.region.position) if chosen.region else pl.lit(None)
        columns = (
            pl.col(chosen.raw_names),
            region.cast(pl.String).alias("raw_region"),
            pl.lit(value=False).alias("ragged"),
            *(pl.nth(c.position).alias(KEPT_PREFIX + name) for name, c in chosen.kept.items()),
        )
        labels = [rows.columns[position] for position in before(chosen.phones)]
        cells = [rows.columns[phone.position] for phone in chosen.phones]
        phones = dict(zip(chosen.raw_names, cells, strict=True))
        for frame in without_totals(rows.iter_slices(BATCH_ROWS), phones, labels):
            yield frame.select(columns)


def _opened(path: Path, name: str) -> Any:
    try:
        import fastexcel  # noqa: PLC0415 (an extra)
    except ImportError:
        raise InputError(
            f"{name}: it is an Excel workbook; to read those: pip install 'batch-screen[excel]', "
            "or save it as CSV"
        ) from None
    # Its bytes, for a path would be expanded: a workbook may be called ~x.
    return fastexcel.read_excel(path.read_bytes())


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Turns the reader's errors into an InputError; it says itself only why it has none."""
    with translated(name):
        try:
            yield
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in {"fastexcel", "_fastexcel"}:
                raise
            if "password" in str(error).casefold():
                raise InputError(
                    f"{name}: this workbook is protected by a password; save it without one"
                ) from None
            raise InputError(
                f"{name}: it is a damaged workbook, or none that is read; save it as .xlsx or CSV"
            ) from None


def _chosen(book: Any, name: str, settings: Input) -> str:
    sheets: list[str] = book.sheet_names
    listed = ", ".join(shown(sheet) for sheet in sheets[:_LISTED])
    listed += ", …" if sheets[_LISTED:] else ""
    if wanted := settings.sheet:
        matches = [s for s in sheets if s == wanted] or [
            s for s in sheets if s.strip().casefold() == wanted.strip().casefold()
        ]
        if not matches and wanted.isdecimal() and 1 <= int(wanted) <= len(sheets):
            matches = [sheets[int(wanted) - 1]]
        if not matches:
            raise InputError(
                f"{name}: there is no sheet {shown(wanted)!r}; name one that it has with --sheet: "
                f"{listed}"
            )
        return matches[0]
    filled = [sheet for sheet in sheets if not _cells(book, sheet, 0, 1).is_empty()]
    if not filled:
        raise empty_input(f"{name}: none of its sheets holds rows; save the workbook again")
    if len(filled) > 1:
        listed = ", ".join(shown(sheet) for sheet in filled[:_LISTED])
        listed += ", …" if filled[_LISTED:] else ""
        raise InputError(
            f"{name}: {len(filled)} of its sheets hold rows, {listed}; name one with --sheet, or "
            "save each as a file"
        )
    return filled[0]


def _cells(book: Any, sheet: str, skipped: int, rows: int | None = None) -> pl.DataFrame:
    """The sheet's cells from a row on, as text; what is empty is null."""
    loaded = book.load_sheet(
        sheet, header_row=None, skip_rows=skipped, n_rows=rows, dtypes="string"
    )
    if not loaded.width:
        return pl.DataFrame()
    frame: pl.DataFrame = pl.from_arrow(loaded.to_arrow())  # type: ignore[assignment]
    return frame.with_columns(pl.all().cast(pl.String).replace("", None))


def _without_blanks(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.any_horizontal(pl.all().is_not_null()))
