"""Layout of an input file: its columns, and its encoding, packing and delimiter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import polars as pl

from batch_screen.masking import mask_text, plain
from batch_screen.model import ColumnKind


class Packing(StrEnum):
    """Compression of a file, by its first bytes and not by its name."""

    NONE = ""
    GZIP = "gzip"
    ZSTD = "zstd"
    BZIP2 = "bzip2"
    ZIP = "zip"


_TEXT = pl.String()
_BLANKS = "\ufeff \t\r\n\xa0"


@dataclass(frozen=True, slots=True)
class InputColumn:
    """A column of an input file; ``sample`` holds cells from the file's beginning as text.

    ``kind`` is None where the type cannot hold a phone number, ``dtype`` is None where it
    cannot be kept in an output file. ``duplicate_of`` is the name in the file, where other columns
    have it too.
    """

    name: str
    position: int
    sample: tuple[str | None, ...]
    kind: ColumnKind | None = ColumnKind.TEXT
    dtype: pl.DataType | None = _TEXT
    type_name: str = "text"
    duplicate_of: str = ""


@dataclass(frozen=True, slots=True)
class Csv:
    """Format of a text file; its rows begin at ``offset``, in bytes of the decoded UTF-8 text.

    ``encoding`` is a codec's name, or empty: UTF-8 as long as it holds, else Windows-1252.
    ``has_escapes``: a backslash goes before quotes in cells, as Spark and MySQL write them.
    ``is_wrapped``: some rows stand in quotes as a whole. ``rows_above``: how many a spreadsheet
    shows above the first one, the header among them.
    """

    packing: Packing
    encoding: str
    delimiter: str
    offset: int
    has_header: bool
    has_escapes: bool = False
    is_wrapped: bool = False
    rows_above: int = 1


@dataclass(frozen=True, slots=True)
class Sheet:
    """The sheet of a workbook to read; its rows begin at ``first_row``, from 0."""

    name: str
    first_row: int
    has_header: bool
    rows: int


@dataclass(frozen=True, slots=True)
class FileLayout:
    """An input file: its path, its columns, and the name it has in messages and ``source_file``.

    ``csv`` is that of a text file, ``sheet`` that of a workbook; a Parquet file has neither,
    and ``codec`` is the compression of its first readable column.
    ``partitions`` are the columns that its folders' names add, as in ``country=DE/part-0.parquet``:
    each has one value, its sample, in all rows. ``notes`` are for the user.
    """

    path: Path
    name: str
    columns: tuple[InputColumn, ...]
    csv: Csv | None
    codec: str = ""
    partitions: tuple[InputColumn, ...] = ()
    notes: tuple[str, ...] = ()
    sheet: Sheet | None = None

    @property
    def rows_above(self) -> int:
        """How many rows a spreadsheet shows above the first one; of Parquet a header is shown."""
        if self.sheet:
            return self.sheet.first_row
        return self.csv.rows_above if self.csv else 1

    @property
    def has_header(self) -> bool:
        """Whether the columns' names are the file's own."""
        part = self.csv or self.sheet
        return part.has_header if part else True


@dataclass(frozen=True, slots=True)
class ChosenColumns:
    """The columns to read from a file, by role; ``kept`` by their names in the first file."""

    phones: tuple[InputColumn, ...]
    region: InputColumn | None
    kept: dict[str, InputColumn]

    @property
    def positions(self) -> list[int]:
        """Their positions, each once, in the file's order."""
        columns = (*self.phones, self.region, *self.kept.values())
        return sorted({column.position for column in columns if column})

    @property
    def raw_names(self) -> list[str]:
        """What readers call the phone columns, in their order."""
        if len(self.phones) == 1:
            return ["raw"]
        return [f"raw_{place}" for place, _ in enumerate(self.phones)]


def before(columns: Sequence[InputColumn]) -> list[int]:
    """The columns in which a row's label would stand: the first, and those before."""
    own = {column.position for column in columns}
    return sorted({0, *(max(0, position - 1) for position in own)} - own)


def shown(name: str) -> str:
    """A column's name masked for a message: in a file without a header it may be a number."""
    return mask_text(plain(name, 60))


def lines_above(count: int) -> str:
    """The note on lines that were skipped unasked."""
    are = "1 line above its header is" if count == 1 else f"{count} lines above its header are"
    return f"{are} skipped"


def bare(name: str) -> str:
    r"""A column's name without what nobody sees in a header: blanks around it, and U+0000.

    >>> bare(" pho\0ne ")
    'phone'
    """
    return name.replace("\0", "").strip(_BLANKS)  # polars takes no name with U+0000


def unique(names: Iterable[str]) -> list[tuple[str, str]]:
    """Makes column names unique; each with its name in the file if others have that too.

    >>> unique(["phone", "", "name", "name"])
    [('phone', ''), ('column_2', ''), ('name', 'name'), ('name_2', 'name')]
    """
    named = [bare(n) or f"column_{i}" for i, n in enumerate(names, 1)]
    taken = Counter(named)
    seen: set[str] = set()
    copies: Counter[str] = Counter()
    result = []
    for name in named:
        free = name
        while free in seen or (copies[name] and free in taken):
            copies[name] += 1
            free = f"{name}_{copies[name] + 1}"
        seen.add(free)
        result.append((free, name if taken[name] > 1 else ""))
    return result
