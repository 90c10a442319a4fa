"""All inputs as one table: a stream of batches with the same columns, whatever the format.

The only entrance to this room for the other stages, beside ``files``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from batch_screen.config.screening import Input
from batch_screen.errors import InputError, no_input
from batch_screen.input import csv, excel, parquet
from batch_screen.input.cells import is_data, was_number
from batch_screen.input.columns import choose, look_alike, named_phones
from batch_screen.input.detect import sniff
from batch_screen.input.files import as_text, partitions, translated
from batch_screen.input.layout import ChosenColumns, FileLayout, InputColumn, shown
from batch_screen.input.limits import Caps
from batch_screen.input.text import CHUNK_BYTES, guessed_encoding, unpacked
from batch_screen.model import ColumnKind
from batch_screen.schema import KEPT_PREFIX
from batch_screen.storage.parquet import metadata_of

BATCH_ROWS = 150_000
_BATCH_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Table:
    """The inputs with their layouts and chosen columns; holds none of their rows.

    ``kept`` maps output names (``in_…``), which are the first file's, to types. ``files`` are in
    order, each with its own columns; ``notes`` say what was noticed in opening them.
    """

    phone_columns: tuple[str, ...]
    region_column: str | None
    kinds: tuple[ColumnKind, ...]
    """Of the phone columns, in their order."""
    kept: Mapping[str, pl.DataType]
    files: tuple[tuple[FileLayout, ChosenColumns], ...]
    _caps: Caps
    _chunk_bytes: int = CHUNK_BYTES
    notes: tuple[str, ...] = ()

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[pl.DataFrame]:
        """Streams the rows of all files in order, in frames of ``rows`` rows but for the last.

        Frames of very long cells have fewer. Columns: row_index (Int64, from 0 over all files),
        source_file (String), source_row (Int64, from 1 in each file), phone_column, raw, raw_region
        (String, null where empty), ragged (Boolean), then ``kept``. Of several phone columns each
        cell is a row, in the order in which they were named. Can be called again. InputError where
        the input is damaged.
        """
        waiting: list[pl.DataFrame] = []
        held = held_bytes = first = 0
        for frame in self._frames():
            waiting.append(frame)
            held += frame.height
            # By the lengths of all texts: polars' own estimate counts equal long cells only once.
            lengths = frame.select(pl.col(pl.String).str.len_bytes().sum())
            held_bytes += sum(lengths.row(0))
            while held >= rows or held_bytes > _BATCH_BYTES:
                joined = pl.concat(waiting)
                batch, rest = joined.head(rows), joined.slice(rows)
                yield batch.pipe(_numbered, first)
                waiting = [rest]
                held_bytes = held_bytes * rest.height // held
                held = rest.height
                first += batch.height
        if held:
            yield pl.concat(waiting).pipe(_numbered, first)

    def rows_above(self) -> dict[str, int]:
        """File → what a spreadsheet shows above its first row, where that is no header alone."""
        above = {layout.name: layout.rows_above for layout, _ in self.files}
        return {name: rows for name, rows in above.items() if rows != 1}

    @property
    def names(self) -> list[list[str]]:
        """Each phone column's names in the files, which may differ in upper and lower case."""
        places = zip(*(choice.phones for _, choice in self.files), strict=True)
        return [list(dict.fromkeys(phone.name for phone in phones)) for phones in places]

    def expected_rows(self) -> int:
        """Estimated rows of all files, a row for each phone cell; exact but for text."""
        rows = 0
        for layout, _ in self.files:
            with translated(layout.name):
                if layout.sheet:
                    rows += layout.sheet.rows
                elif layout.csv:
                    rows += csv.expected_rows(layout, layout.csv, self._caps)
                else:
                    rows += int(metadata_of(layout.path).num_rows)
        return rows * len(self.phone_columns)

    def encoding_of(self, layout: FileLayout) -> str:
        """The encoding of a text file, ``ascii`` where any would do; empty for others.

        Reads the file up to its first letter outside ASCII.
        """
        if layout.csv is None:
            return ""
        if layout.csv.encoding:
            return layout.csv.encoding
        packing = layout.csv.packing
        with translated(layout.name):
            chunks = unpacked(layout.path, layout.name, packing, self._caps, self._chunk_bytes)
            return guessed_encoding(chunks)

    def _frames(self) -> Iterator[pl.DataFrame]:
        """The rows of all files: the one place that chooses a reader by the file's format."""
        for layout, chosen in self.files:
            choice, fixed = _apart(layout, chosen)
            if layout.sheet:
                frames = excel.read(layout, layout.sheet, choice)
            elif layout.csv:
                frames = csv.read(layout, layout.csv, choice, self._caps, self._chunk_bytes)
            else:
                frames = parquet.read(layout, choice, self.kept, self._caps)
            row = 1
            for frame in frames:
                rows = frame.with_columns(
                    pl.lit(layout.name).alias("source_file"),
                    pl.int_range(row, row + pl.len(), dtype=pl.Int64).alias("source_row"),
                    **fixed,
                )
                yield self._cells(rows, choice)
                row += frame.height

    def _cells(self, rows: pl.DataFrame, choice: ChosenColumns) -> pl.DataFrame:
        """A row for each phone cell of the rows, those of a row beside each other."""
        others = ["raw_region", "ragged", *self.kept]
        cells = [
            rows.select("source_file", "source_row", pl.lit(phone.name), raw, *others).rename(
                {"literal": "phone_column", raw: "raw"}
            )
            for phone, raw in zip(choice.phones, choice.raw_names, strict=True)
        ]
        if len(cells) == 1:
            return cells[0]
        return pl.concat(cells).sort("source_row", maintain_order=True)


def _apart(layout: FileLayout, chosen: ChosenColumns) -> tuple[ChosenColumns, dict[str, pl.Expr]]:
    """The columns to read from the file, and those that the names of its folders give."""
    given = {column.position: pl.lit(column.sample[0], pl.String) for column in layout.partitions}
    region, kept = chosen.region, chosen.kept
    fixed = {KEPT_PREFIX + n: given[c.position] for n, c in kept.items() if c.position in given}
    if region and region.position in given:
        fixed["raw_region"], region = given[region.position], None
    kept = {name: column for name, column in kept.items() if column.position not in given}
    return ChosenColumns(chosen.phones, region, kept), fixed


def _numbered(frame: pl.DataFrame, first: int) -> pl.DataFrame:
    index = pl.int_range(first, first + frame.height, dtype=pl.Int64, eager=True)
    return frame.select(index.alias("row_index"), pl.all())


def open_table(
    paths: Sequence[Path],
    settings: Input,
    names: Sequence[str] | None = None,
    *,
    places: Sequence[Path] | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> Table:
    """Detects every file's layout and chooses its columns, from the file's beginning alone.

    ``names`` are the files' in messages and ``source_file``; by default their base names, or their
    paths below the folder they share. ``places`` are where copies come from: those have the names.
    Of several, those without a row are skipped. InputError: see ``sniff`` and ``choose``.
    """
    if not paths:
        raise no_input("no input: name a file, a folder, or - for stdin")
    files: list[tuple[FileLayout, ChosenColumns]] = []
    empty: dict[str, InputError] = {}
    places = places or paths
    for path, name, values in zip(
        paths, names or _short_names(places), partitions(places), strict=True
    ):
        try:
            layout = _partitioned(sniff(path, name, settings), values)
        except InputError as error:
            if not error.is_empty:
                raise
            empty[name] = error
            continue
        files.append((layout, choose(layout, settings, files[0][1] if files else None)))
    if not files:
        raise next(iter(empty.values()))
    first = files[0][1]
    kept: dict[str, pl.DataType] = {}
    for name in first.kept:
        dtypes = {choice.kept[name].dtype for _, choice in files}
        only = dtypes.pop() if len(dtypes) == 1 else None
        kept[KEPT_PREFIX + name] = only or pl.String()  # which holds what every file has
    return Table(
        tuple(phone.name for phone in first.phones),
        first.region.name if first.region else None,
        tuple(_kinds(files)),
        kept,
        tuple(files),
        Caps.of(settings),
        chunk_bytes,
        (
            *(f"{name}: it holds no rows and is skipped" for name in empty),
            *(f"{layout.name}: {note}" for layout, _ in files for note in layout.notes),
            *_left_out(*files[0], settings),
        ),
    )


def _left_out(layout: FileLayout, chosen: ChosenColumns, settings: Input) -> Iterator[str]:
    """Says which columns are not read though they look like phone numbers, too."""
    if others := [shown(column.name) for column in look_alike(layout, chosen, settings)]:
        look = "look" if len(others) > 1 else "looks"
        yield (
            f"column {shown(chosen.phones[0].name)} is read; {', '.join(others)} {look} like phone "
            "numbers, too: name them with --phone-column"
        )


def _partitioned(layout: FileLayout, values: Mapping[str, str | None]) -> FileLayout:
    """The layout with the columns of its folders' names, unless the file has them itself."""
    own = {column.name.casefold() for column in layout.columns}
    added = [(key, value) for key, value in values.items() if key.casefold() not in own]
    width = len(layout.columns)
    columns = (
        InputColumn(key, width + n, (value,), type_name="folder")
        for n, (key, value) in enumerate(added)
    )
    return replace(layout, partitions=tuple(columns))


def _short_names(paths: Sequence[Path]) -> list[str]:
    names = [as_text(path.name) for path in paths]
    if len(set(names)) == len(names):
        return names
    folder = os.path.commonpath([path.absolute().parent for path in paths])
    return [as_text(path.absolute().relative_to(folder)) for path in paths]


def _kinds(files: Sequence[tuple[FileLayout, ChosenColumns]]) -> Iterator[ColumnKind]:
    """The phone columns' kinds, which decide how cells are read: each has one in all files."""
    for phones in zip(*(choice.phones for _, choice in files), strict=True):
        # A text file's cells say what they are, and no cell says nothing.
        placed = [
            (layout.name, phone)
            for (layout, _), phone in zip(files, phones, strict=True)
            if not layout.csv or any(phone.sample)
        ]
        kind = placed[0][1].kind if placed else None
        for name, phone in placed:
            if phone.kind is not kind:
                raise InputError(
                    f"{name}: its phone column is {phone.kind}, but {kind} in {placed[0][0]}; "
                    "screen them in separate runs"
                )
        yield kind or ColumnKind.TEXT


def open_listed(path: Path, name: str, settings: Input) -> list[Table]:
    """Opens a list that is no input, such as the opt-outs, whose layout no setting describes.

    A table for each phone column. A first row that holds a number is a row and no header. The
    phone and region columns have the inputs' names, if there are such; else the phone column is
    guessed. InputError: see ``open_table``, and where the column is not certain.
    """
    caps = {key: getattr(settings, key) for key in ("max_unpacked_gib", "max_unpacking_ratio")}
    found = Input(**caps, has_header=False)
    layout = sniff(path, name, found)
    first = [column.sample[0] for column in layout.columns if column.sample]
    if not layout.has_header and not any(
        was_number(cell) or is_data(cell) for cell in first if cell
    ):
        found = Input(**caps)
        layout = sniff(path, name, found)
    names = {column.name.casefold() for column in layout.columns}
    region = settings.region_column if settings.region_column.casefold() in names else ""
    named = named_phones(layout, settings.phone_column)
    phones = [phone for phone in named if phone.casefold() in names]
    listed = [
        found.model_copy(update={"phone_column": phone, "region_column": region})
        for phone in phones or [""]
    ]
    try:
        for each in listed:
            choose(layout, each)
    except InputError:  # its advice is about the inputs' options
        raise InputError(
            f"{name}: it is not certain which of its columns holds the numbers; keep that one "
            "alone, or call it phone"
        ) from None
    return [open_table([path], each, [name]) for each in listed]
