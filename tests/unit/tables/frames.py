"""Rows and outcomes as plan and seal hand them to the output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from batch_screen.model import Endpoint, OutcomeKind
from batch_screen.schema import IDENTITY, LOOKUP, PHONE_COLUMN, conform, dtypes
from batch_screen.tables.results import observed


def number(i: int) -> str:
    """A number that ends in ``i``; from 60,000 on it lies in another block."""
    return f"+4420794{i:05d}" if i >= 60_000 else f"+4477009{i:05d}"


def rows_of(numbers: Sequence[int], **kept: pl.Series) -> pl.DataFrame:
    """Accepted rows of these numbers, with kept columns in front."""
    height = len(numbers)
    identity = pl.DataFrame(
        {
            "row_index": range(height),
            "source_file": ["list.csv"] * height,
            "source_row": range(1, height + 1),
            "e164": [number(i) for i in numbers],
            "region": ["GB"] * height,
            "number_type": ["mobile"] * height,
            "rule": ["international_plus"] * height,
            "phone_column": ["phone"] * height,
        },
        schema={c.name: c.dtype for c in (*IDENTITY, PHONE_COLUMN) if c.name != "run_id"},
    )
    return identity.select(*(s.alias(f"in_{name}") for name, s in kept.items()), pl.all())


def outcome(i: int, endpoint: Endpoint, **values: Any) -> dict[str, Any]:
    return {
        "e164": number(i),
        "endpoint": endpoint.value,
        "max_age_minutes": 2400 if endpoint.takes_max_age else None,
        "outcome": OutcomeKind.SUCCESS.value,
        "attempts": 1,
        "refusals": 0,
        "source": "asked",
        **values,
    }


def outcomes_of(rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    listed = list(rows)
    schema = dtypes(LOOKUP)
    full = [{name: row.get(name) for name in schema.names()} for row in listed]
    return observed(conform(pl.DataFrame(full, schema=schema), LOOKUP))
