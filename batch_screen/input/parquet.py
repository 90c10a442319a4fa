"""Parquet files: their columns, and their rows as frames of types that load everywhere.

Reads only the columns that are needed, a row group's pages at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from batch_screen.errors import InputError, empty_input
from batch_screen.input.files import translated
from batch_screen.input.layout import (
    ChosenColumns,
    FileLayout,
    InputColumn,
    shown,
    unique,
)
from batch_screen.input.limits import Caps, ParquetList
from batch_screen.model import ColumnKind
from batch_screen.schema import KEPT_PREFIX

_SAMPLE_ROWS = 1_000
_SAMPLE_BYTES = 64 << 20
_SAMPLE_READS = 100
_LITTLE_BYTES = 1 << 20
_SAMPLE_CHARACTERS = 300  # far more than a number has, and less than a hostile cell
_UTC = pl.Datetime("us", "UTC")
_UUID = pa.uuid()
_ARROW: Mapping[pl.DataType, Any] = {
    pl.String(): pa.large_string(),
    pl.Boolean(): pa.bool_(),
    pl.Int32(): pa.int32(),
    pl.Int64(): pa.int64(),
    pl.Float64(): pa.float64(),
    pl.Date(): pa.date32(),
    _UTC: pa.timestamp("us", tz="UTC"),
}
# Whole numbers up to these are exact in a float of that many bits; beyond, digits were lost.
_EXACT = {16: 1 << 11, 32: 1 << 24, 64: 1 << 53}


def describe(path: Path, name: str, caps: Caps) -> FileLayout:
    """The layout of a Parquet file, with a sample of its text and number columns."""
    with translated(name), path.open("rb") as source:
        file = ParquetList(source, name, caps)
        schema = file.schema
        if not file.metadata.num_rows:
            raise empty_input(f"{name}: it has columns but no rows; export the list again")
        named = unique(schema.names)
        readable = [
            field.name
            for field, (_, duplicate_of) in zip(schema, named, strict=True)
            if _kind(field.type) and not duplicate_of
        ]
        sample = _sample(file, readable)
        columns = []
        for position, (field, (label, duplicate_of)) in enumerate(zip(schema, named, strict=True)):
            cells = sample.get(field.name, ())
            is_bytes = cells is None
            columns.append(
                InputColumn(
                    label,
                    position,
                    cells or (),
                    kind=None if is_bytes else _kind(field.type),
                    dtype=None if is_bytes else _kept_dtype(field.type),
                    type_name=_type_name(field.type),
                    duplicate_of=duplicate_of,
                )
            )
        codec = file.chunks(0, readable[:1])[0].compression.lower() if readable else ""
        codec = "" if codec == "uncompressed" else codec
        return FileLayout(path, name, tuple(columns), None, codec)


def read(
    layout: FileLayout, chosen: ChosenColumns, dtypes: Mapping[str, pl.DataType], caps: Caps
) -> Iterator[pl.DataFrame]:
    """Rows in file order: ``raw_names``, raw_region (String), ragged (Boolean, false), in_….

    ``dtypes`` are those in which the last are written.
    """
    import pyarrow.compute as pc  # noqa: PLC0415 (seventy milliseconds, for other lists in vain)

    with translated(layout.name), layout.path.open("rb") as source:
        file = ParquetList(source, layout.name, caps)
        names = file.schema.names
        phones, region = dict(zip(chosen.raw_names, chosen.phones, strict=True)), chosen.region
        size, taken = layout.path.stat().st_size, 0
        for batch in file.batches([names[position] for position in chosen.positions]):
            # Text that is not UTF-8 passes through pyarrow unseen and breaks polars later.
            batch.validate(full=True)
            height = batch.num_rows

            def cells_of(column: InputColumn, batch: Any = batch) -> Any:
                try:
                    return _decoded(batch.column(names[column.position]))
                except pa.ArrowInvalid:
                    raise InputError(
                        f"{layout.name}: column {shown(column.name)!r} ({column.type_name}) holds "
                        "bytes that are not UTF-8 text; write it as text"
                    ) from None

            columns = {
                **{raw: _as_text(cells_of(phone)) for raw, phone in phones.items()},
                "raw_region": _as_text(cells_of(region))
                if region
                else pl.repeat(None, height, dtype=pl.String, eager=True),
                "ragged": pl.repeat(value=False, n=height, dtype=pl.Boolean, eager=True),
            }
            for name, column in chosen.kept.items():
                # Nanoseconds are cut to microseconds; anything else that does not fit is an error.
                options = pc.CastOptions(
                    _ARROW[dtypes[KEPT_PREFIX + name]], allow_time_truncate=True
                )
                columns[KEPT_PREFIX + name] = _series(cells_of(column).cast(options=options))
            frame = pl.DataFrame(columns)
            taken += int(frame.estimated_size())  # a dictionary's one cell may stand in every row
            caps.check(layout.name, size, taken)
            yield frame


def _sample(file: ParquetList, names: list[str]) -> dict[str, tuple[str | None, ...] | None]:
    """The first cells of each column, until enough bytes were read; None: bytes, and no text."""
    sample: dict[str, tuple[str | None, ...] | None] = {}
    spent = 0
    # To begin to read takes a look at every column of the file, so of many some are read together.
    width = -(-len(names) // _SAMPLE_READS)
    for first in range(0, len(names), width or 1):
        together, seen = names[first : first + width], 0
        for batch in file.batches(together):
            batch.validate(full=True)
            for name in together:
                before = sample.get(name, ())
                if before is None:
                    continue
                try:
                    text = _as_text(_decoded(batch.column(name)))
                except pa.ArrowInvalid:
                    sample[name] = None
                    continue
                spent += int(text.estimated_size())
                sample[name] = (*before, *_first_cells(text, _SAMPLE_ROWS - len(before)))
            seen += batch.num_rows
            is_bytes = all(sample.get(name) is None for name in together)
            if is_bytes or seen >= _SAMPLE_ROWS or spent > _SAMPLE_BYTES:
                break
        if spent > _SAMPLE_BYTES:
            break
    return sample


def _first_cells(text: pl.Series, count: int) -> list[str | None]:
    """The beginnings of the first cells."""
    few = text.head(count)
    if few.estimated_size() > _LITTLE_BYTES:
        return few.str.slice(0, _SAMPLE_CHARACTERS).to_list()
    # A call of polars takes longer than this.
    return [cell and cell[:_SAMPLE_CHARACTERS] for cell in few.to_list()]


def _values(kind: Any) -> Any:
    """The type of the cells, without the dictionary or the extension around it."""
    if isinstance(kind, pa.BaseExtensionType):
        return pa.string() if kind == _UUID else _values(kind.storage_type)
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _type_name(kind: Any) -> str:
    if isinstance(kind, pa.BaseExtensionType):
        return str(kind.extension_name)
    return str(kind).split("<")[0].split("[")[0]


def _is_text(kind: Any) -> bool:
    is_kind = pa.types
    return bool(
        is_kind.is_string(kind)
        or is_kind.is_large_string(kind)
        or is_kind.is_string_view(kind)
        or _is_bytes(kind)
    )


def _is_bytes(kind: Any) -> bool:
    """Whether the cells are bytes: text where they are UTF-8, as Impala and old Spark write it."""
    is_kind = pa.types
    return bool(
        is_kind.is_binary(kind)
        or is_kind.is_large_binary(kind)
        or is_kind.is_binary_view(kind)
        or is_kind.is_fixed_size_binary(kind)
    )


def _kind(arrow_type: Any) -> ColumnKind | None:
    """What numbers the column can hold; None: none."""
    kind = _values(arrow_type)
    if _is_text(kind):
        return ColumnKind.TEXT
    if pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale <= 0):
        return ColumnKind.INTEGER
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return ColumnKind.FLOAT
    return None


def _kept_dtype(arrow_type: Any) -> pl.DataType | None:
    """The type that loads everywhere (facts: files and warehouses); None: there is none."""
    is_kind = pa.types
    if isinstance(arrow_type, pa.BaseExtensionType):
        return _kept_dtype(_values(arrow_type))
    if is_kind.is_int32(arrow_type):
        return pl.Int32()
    if is_kind.is_uint64(arrow_type):
        return pl.String()
    for claim, dtype in (
        (is_kind.is_integer, pl.Int64()),
        (is_kind.is_floating, pl.Float64()),
        (is_kind.is_boolean, pl.Boolean()),
        (is_kind.is_date, pl.Date()),
    ):
        if claim(arrow_type):
            return dtype
    if is_kind.is_timestamp(arrow_type):
        return _UTC if arrow_type.tz else pl.String()
    kind = _values(arrow_type)
    is_textual = (
        _is_text(kind)
        or (
            is_kind.is_dictionary(arrow_type)
            and (is_kind.is_integer(kind) or is_kind.is_floating(kind))
        )
        or is_kind.is_decimal(kind)
        or is_kind.is_time(kind)
        or is_kind.is_null(kind)
    )
    return pl.String() if is_textual else None


def _decoded(array: Any) -> Any:
    """The cells out of their dictionary or extension; ArrowInvalid where bytes are no text."""
    if isinstance(array.type, pa.BaseExtensionType):
        if array.type == _UUID:
            return pa.array([cell and str(cell) for cell in array.to_pylist()], pa.large_string())
        array = array.storage
    array = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    if not _is_bytes(array.type):
        return array
    return array.cast(pa.large_binary()).cast(pa.large_string())


def _as_text(array: Any) -> pl.Series:
    """The decoded cells as text. Whole floats are written as digits, as nobody meant the ``.0``.

    A float too large to be exact has lost digits: it is written in scientific notation, which
    normalisation rejects.
    """
    if pa.types.is_floating(array.type):
        exact = _EXACT[array.type.bit_width]
        cells = [None if v is None else _float_text(v, exact) for v in array.to_pylist()]
        return pl.Series(cells, dtype=pl.String)
    text = _series(array.cast(pa.large_string()))
    return text.str.replace(r"\.0+$", "") if pa.types.is_decimal(array.type) else text


def _float_text(value: float, exact: int) -> str:
    if not value.is_integer():
        return repr(value)
    return str(int(value)) if abs(value) <= exact else f"{value:e}"


def _series(array: Any) -> pl.Series:
    series = pl.from_arrow(array)
    if not isinstance(series, pl.Series):  # pragma: no cover (an array is never a frame)
        raise TypeError
    return series
