"""Parquet files as text: how they are written, their columns, and a line for each row."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from .steady import Steady

MOST_ROWS = 150
"""Of a longer table, the first rows and a digest of each column are kept."""
FIRST_ROWS = 20
# How long an answer took, and an id that is drawn by chance.
_PASSING = re.compile(r"latency_ms|correlator")
_DATE = re.compile(r"latest_change_at$")
_AGE = re.compile(r"(\w+)_change_age_hours")
_NEARLY_HOURS = 0.001

Row = dict[str, Any]


def table_text(paths: Sequence[Path], run_id: str, steady: Steady) -> str:
    """A table of a run, of all its parts."""
    files = [pq.ParquetFile(path) for path in paths]
    rows = [row for file in files for row in file.read().to_pylist()]
    told = [row_values(row, run_id, steady) for row in rows]
    return "\n".join([*_form(files, steady), *_columns(files), *_rows(told), ""])


def _form(files: Sequence[pq.ParquetFile], steady: Steady) -> Iterator[str]:
    for number, file in enumerate(files):
        found = file.metadata
        groups = [found.row_group(n).num_rows for n in range(found.num_row_groups)]
        codecs = {
            found.row_group(group).column(column).compression
            for group in range(found.num_row_groups)
            for column in range(found.num_columns)
        }
        said = {
            key.decode(): steady.text(value.decode())
            for key, value in sorted((found.metadata or {}).items())  # polars' order is any
            if key != b"ARROW:schema"  # the columns below
        }
        yield f"part {number}: {found.num_rows} rows in groups of {groups}, {sorted(codecs)}"
        yield f"    metadata: {said}"


def _columns(files: Sequence[pq.ParquetFile]) -> Iterator[str]:
    schemas = [file.schema_arrow for file in files]
    yield f"columns, {'the same' if all(s == schemas[0] for s in schemas) else 'NOT the same'}"
    for column in schemas[0]:
        yield f"    {column.name}: {column.type}{'' if column.nullable else ' not null'}"


def _rows(told: Sequence[dict[str, str]]) -> Iterator[str]:
    yield f"rows: {len(told)}"
    alike = _alike(told)
    for name, value in alike.items():
        yield f"    in all rows {name}: {value}"
    shown = told if len(told) <= MOST_ROWS else told[:FIRST_ROWS]
    for row in shown:
        yield "    " + " | ".join(f"{n}: {value}" for n, value in row.items() if n not in alike)
    if len(shown) < len(told):
        yield f"and {len(told) - len(shown)} more; digests of all values by column"
        for name in dict.fromkeys(name for row in told for name in row):
            column = "\n".join(row.get(name, "null") for row in told)
            yield f"    {name}: {hashlib.sha256(column.encode()).hexdigest()[:16]}"


def _alike(told: Sequence[dict[str, str]]) -> dict[str, str]:
    """What is the same in all rows, where there are some."""
    first = told[0] if len(told) > 1 else {}
    return {name: v for name, v in first.items() if all(row.get(name) == v for row in told)}


def row_values(row: Row, run_id: str, steady: Steady) -> dict[str, str]:
    """What a row holds, without nulls, and without the run's own id."""
    told = {}
    for name, value in row.items():
        if value is not None and not (name == "run_id" and value == run_id):
            told[name] = _value(name, row, steady)
    return told


def _value(name: str, row: Row, steady: Steady) -> str:
    value = row[name]
    if isinstance(value, datetime):
        return _instant(name, row, steady)
    if name == "latest_change_raw":
        return steady.raw_date(value)
    if steady.is_exact:
        return str(value)
    if _PASSING.fullmatch(name):
        return "<n>"
    if (found := _AGE.fullmatch(name)) and _is_since_its_date(value, found[1], row):
        return "<since its date>"
    return steady.text(value) if isinstance(value, str) else str(value)


def _instant(name: str, row: Row, steady: Steady) -> str:
    if _DATE.search(name):
        return steady.date(row[name])
    if name.endswith("window_start") and (end := row[name.replace("start", "end")]):
        return f"window_end - {(end - row[name]) / timedelta(minutes=1):g} min"
    return steady.moment(row[name])


def _is_since_its_date(hours: float, signal: str, row: Row) -> bool:
    """Whether an age is the time from the change to the answer, which is another each time."""
    at = row.get(f"{signal}_swap_date_responded_at")
    change = row.get(f"{signal}_swap_date_latest_change_at")
    if at is None or change is None:
        return False
    return abs(hours - (at - change) / timedelta(hours=1)) < _NEARLY_HOURS
