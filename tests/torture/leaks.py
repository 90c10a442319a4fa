"""Whole numbers and keys where they must not be, in every byte a run has written or said."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from tests.e2e.conftest import WHOLE_NUMBER

_NUMBER = re.compile(WHOLE_NUMBER.pattern.encode())
_HOLDS_NUMBERS = (".parquet", ".journal")
"""The data itself; everything else must do without."""


def leaks(folder: Path, keys: Sequence[str]) -> Iterator[str]:
    """Where below the folder a key, or outside of the data a whole number, is written."""
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        yield from _in(name.encode(), keys, f"the name of a file in {path.parent.name}")
        if path.is_file():
            yield from _in_file(path, name, keys)


def _in_file(path: Path, name: str, keys: Sequence[str]) -> Iterator[str]:
    content = path.read_bytes()
    is_data = any(part in name for part in _HOLDS_NUMBERS)  # also while it grows
    yield from _in(content, keys, name, numbers=not is_data)
    if path.suffix == ".parquet" and ".growing" not in name:
        yield from _in_table(path, name, keys)


def _in(content: bytes, keys: Sequence[str], where: str, *, numbers: bool = True) -> Iterator[str]:
    if any(key.encode() in content for key in keys):
        yield f"the key in {where}"
    if numbers and _NUMBER.search(content):
        yield f"a whole number in {where}"


def _in_table(path: Path, name: str, keys: Sequence[str]) -> Iterator[str]:
    """Compressed pages hide a key from a search of bytes."""
    texts = pl.read_parquet(path, hive_partitioning=False).select(pl.col(pl.String))
    for column in texts.get_columns():
        if any(column.str.contains(key, literal=True).any() for key in keys):
            yield f"the key in column {column.name} of {name}"


def in_command_line(pid: int, keys: Sequence[str]) -> Iterator[str]:
    """What everybody on the machine can read of a process, while it lives."""
    try:
        shown = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return
    yield from _in(shown, keys, "the command line")
