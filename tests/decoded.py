"""Every byte of a folder, decoded, and whether a number is in it, in whatever form."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from html import unescape
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

_APART = re.compile(r"[^\w]{1,4}")
_DIGITS = re.compile(r"\d{7,}")


def numbers_in(folder: Path, forms: Collection[str], said: Collection[str] = ()) -> list[str]:
    """Where one of the numbers is found, by its digits, below the folder or in what was printed."""
    wanted = {re.sub(r"\D", "", form) for form in forms}
    found = [f"printed: {text[:60]}" for text in said if _holds(text, wanted)]
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        texts = [name, *(texts_of(path) if path.is_file() else ())]
        found += {name for text in texts if _holds(text, wanted)}
    return found


def texts_of(path: Path) -> Iterator[str]:
    """A file's bytes, as text; of Parquet also cells, statistics, and what its footer says."""
    content = path.read_bytes()
    yield content.decode("latin-1")
    yield unescape(content.decode("utf-8", "replace"))
    if path.suffix != ".parquet":
        return
    with pq.ParquetFile(path) as file:
        metadata = file.metadata
        yield repr((metadata.metadata, file.schema_arrow.metadata, metadata.to_dict()))
    for column in pl.read_parquet(path, hive_partitioning=False):
        yield "\n".join(map(str, column.unique()))


def _holds(text: str, wanted: set[str]) -> bool:
    for digits in {*_DIGITS.findall(text), *_DIGITS.findall(_APART.sub("", text))}:
        for size in {*map(len, wanted)}:
            for start in range(len(digits) - size + 1):
                if digits[start : start + size] in wanted:
                    return True
    return False
