"""Parquet files: their columns, and their rows as frames of types that load everywhere.

Reads only the columns that are needed, a row group's pages at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from batch_screen.errors import InputError
from batch_screen.input.files import translated
from batch_screen.input.layout import ChosenColumns, FileLayout, InputColumn, unique
from batch_screen.input.limits import Caps, ParquetList
from batch_screen.model import ColumnKind
from batch_screen.schema import KEPT_PREFIX

_SAMPLE_ROWS = 1_000
_SAMPLE_BYTES = 64 << 20
_SAMPLE_CHARACTERS = 300  # far more than a number has, and less than a hostile cell
_UTC = pl.Datetime("us", "UTC")
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
            raise InputError(f"{name}: it has columns but no rows; export the list again")
        named = unique(schema.names)
        readable = [
            field.name
            for field, (_, is_duplicate) in zip(schema, named, strict=True)
            if _kind(field.type) and not is_duplicate
        ]
        sample = _sample(file, readable)
        columns = []
        for position, (field, (label, is_duplicate)) in enumerate(zip(schema, named, strict=True)):
            kind = _kind(field.type)
            columns.append(
                InputColumn(
                    label,
                    position,
                    sample.get(field.name, ()),
                    kind=kind,
                    dtype=_kept_dtype(field.type),
                    type_name=str(field.type).split("<")[0].split("[")[0],
                    is_duplicate=is_duplicate,
                )
            )
        codec = file.chunks(0, readable[:1])[0].compression.lower() if readable else ""
        codec = "" if codec == "uncompressed" else codec
        return FileLayout(path, name, tuple(columns), None, codec)


def read(
    layout: FileLayout, chosen: ChosenColumns, dtypes: Mapping[str, pl.DataType], caps: Caps
) -> Iterator[pl.DataFrame]:
    """Rows in file order: raw, raw_region (String), ragged (Boolean, false), then in_….

    ``dtypes`` are those in which the last are written.
    """
    with translated(layout.name), layout.path.open("rb") as source:
        file = ParquetList(source, layout.name, caps)
        names = file.schema.names
        phone, region = chosen.phone, chosen.region
        size, taken = layout.path.stat().st_size, 0
        for batch in file.batches([names[position] for position in chosen.positions]):
            # Text that is not UTF-8 passes through pyarrow unseen and breaks polars later.
            batch.validate(full=True)
            height = batch.num_rows
            columns = {
                "raw": _as_text(batch.column(names[phone.position])),
                "raw_region": _as_text(batch.column(names[region.position]))
                if region
                else pl.repeat(None, height, dtype=pl.String, eager=True),
                "ragged": pl.repeat(value=False, n=height, dtype=pl.Boolean, eager=True),
            }
            for name, column in chosen.kept.items():
                # Nanoseconds are cut to microseconds; anything else that does not fit is an error.
                options = pc.CastOptions(
                    _ARROW[dtypes[KEPT_PREFIX + name]], allow_time_truncate=True
                )
                cells = _decoded(batch.column(names[column.position])).cast(options=options)
                columns[KEPT_PREFIX + name] = _series(cells)
            frame = pl.DataFrame(columns)
            taken += int(frame.estimated_size())  # a dictionary's one cell may stand in every row
            caps.check(layout.name, size, taken)
            yield frame


def _sample(file: ParquetList, names: list[str]) -> dict[str, tuple[str | None, ...]]:
    """The first cells of each column, until enough bytes were read for it."""
    sample: dict[str, tuple[str | None, ...]] = {}
    spent = 0
    for name in names:
        cells: list[str | None] = []
        for batch in file.batches([name]):
            batch.validate(full=True)
            text = _as_text(batch.column(name))
            spent += int(text.estimated_size())
            cells += text.str.slice(0, _SAMPLE_CHARACTERS).to_list()
            if len(cells) >= _SAMPLE_ROWS or spent > _SAMPLE_BYTES:
                break
        sample[name] = tuple(cells[:_SAMPLE_ROWS])
        if spent > _SAMPLE_BYTES:
            break
    return sample


def _values(kind: Any) -> Any:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(kind: Any) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
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
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _as_text(array: Any) -> pl.Series:
    """The cells as text. Whole floats are written as digits, as nobody meant the ``.0``.

    A float too large to be exact has lost digits: it is written in scientific notation, which
    normalisation rejects.
    """
    array = _decoded(array)
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
