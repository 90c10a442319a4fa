"""What the error report holds, in few lines: failures by their kind, rejects with examples.

Texts of a server or of the input are masked here; of endlessly many, the same ones are
always shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from batch_screen.masking import safe_line

_TEXT_CHARACTERS = 120


class Failure(msgspec.Struct, frozen=True):
    """Lookups of one endpoint that ended alike; ``code`` and ``detail`` are of one of them."""

    endpoint: str
    outcome: str
    http_status: int | None
    code: str
    detail: str
    lookups: int


class Example(msgspec.Struct, frozen=True):
    """A rejected row: the first of its reason, or the last."""

    raw_masked: str
    raw_region: str
    source_file: str
    source_row: int


class Complaints(msgspec.Struct, frozen=True):
    """Failed lookups, the most frequent kind first, and examples by the reason of a reject."""

    failures: list[Failure]
    examples: dict[str, list[Example]]


def read_complaints(paths: Sequence[Path]) -> Complaints:
    """Counts and examples from written parts of ``errors``, read as streams."""
    if not paths:
        return Complaints([], {})
    errors = pl.scan_parquet(list(paths), hive_partitioning=False)
    return Complaints(_failures(errors), _examples(errors))


def _failures(errors: pl.LazyFrame) -> list[Failure]:
    """Grouped by what has few values: codes and texts are the server's, and endlessly many."""
    keys = ("endpoint", "reason", "http_status")
    counted = (
        errors.filter(pl.col("kind") == "failure")
        .group_by(*keys)
        .agg(pl.len().alias("lookups"), pl.col("code", "detail").min())
        .sort("lookups", *keys, descending=[True, False, False, False])
        .collect(engine="streaming")
    )
    return [
        Failure(
            row["endpoint"],
            row["reason"],
            row["http_status"],
            _safe(row["code"]),
            _safe(row["detail"]),
            row["lookups"],
        )
        for row in counted.iter_rows(named=True)
    ]


def _examples(errors: pl.LazyFrame) -> dict[str, list[Example]]:
    rejects = errors.filter(pl.col("kind") == "reject")
    rows = pl.col("row_index")
    ends = rejects.group_by("reason").agg(rows.min().alias("first"), rows.max().alias("last"))
    places = ends.collect(engine="streaming")
    wanted = sorted({*places["first"], *places["last"]})
    found = rejects.filter(rows.is_in(wanted)).sort("row_index").collect(engine="streaming")
    examples: dict[str, list[Example]] = {}
    for row in found.iter_rows(named=True):
        examples.setdefault(row["reason"], []).append(_example(row))
    return dict(sorted(examples.items()))


def _example(row: dict[str, Any]) -> Example:
    return Example(
        _safe(row["raw_masked"]),
        _safe(row["raw_region"]),
        _safe(row["source_file"]),
        row["source_row"],
    )


def _safe(text: str | None) -> str:
    return safe_line(text or "", _TEXT_CHARACTERS)
