"""Six drifting nights in one output folder, made from the sandbox in this process.

What a year of nights brings about, in small: kept columns that differ, a late night, a second run
of a date, a run that was stopped and resumed, a first run without changes, texts that a loader
might take for something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest

import batch_screen
from batch_screen import Job, Settings
from batch_screen.config.screening import Input, Screening
from batch_screen.config.sections import Guards, Output
from batch_screen.config.settings import Budget, Pacing
from batch_screen.errors import BatchScreenError
from batch_screen.model import Endpoint

NASTY = (
    "north",
    "a\n\\.\nDROP TABLE results;\n\\q\n",  # would end a COPY
    'comma, "quote", tab\tand \\ backslash',
    "\\N",
    "NULL",
    "",
    "'; DROP TABLE runs; --",
    "line\r\nbreak",
    "Zürich 東京",
    "nul\0byte",
)
ROWS, MORE_ROWS = 60, 400
"""Of the list as CSV, and of the one as Parquet, whose runs have two parts of each table."""
ENDPOINTS = (Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE, Endpoint.CALL_FORWARDING_CHECK)


class Night(NamedTuple):
    """A run: its date, its list, the columns it keeps. ``is_stopped``: half-way, then resumed."""

    day: str
    listed: str
    kept: Sequence[str]
    is_again: bool = False
    is_stopped: bool = False


NIGHTS = (
    Night("2026-11-23", "list.csv", ("customer_id",)),
    Night("2026-11-24", "list.parquet", ("customer_id", "branch", "credit_limit", "opened")),
    Night("2026-11-26", "list.csv", ("branch", "customer_id")),
    Night("2026-11-26", "list.csv", ("branch", "customer_id"), is_again=True),
    Night("2026-11-25", "list.csv", ()),  # late
    Night("2026-11-27", "list.parquet", ("segment", "credit_limit"), is_stopped=True),
)
"""In the order in which they are written."""


def write_lists(folder: Path) -> None:
    """The list as CSV, and a longer one as Parquet: a number twice, and two rows without one."""
    listed(ROWS).write_csv(folder / "list.csv")
    listed(MORE_ROWS).write_parquet(folder / "list.parquet")


def listed(rows: int) -> pl.DataFrame:
    numbers = [f"+4420794{60_000 + n:05}" for n in range(rows - 3)]
    return pl.DataFrame(
        {
            "phone": [*numbers, numbers[0], "unknown", "unknown"],
            "customer_id": [f"C-{n:03}" for n in range(rows)],
            "branch": [NASTY[n % len(NASTY)] for n in range(rows)],
            "segment": ["retail" if n % 3 else None for n in range(rows)],
            "credit_limit": [1_000 * n if n % 4 else None for n in range(rows)],
            "opened": [date(2020, 1, 1) + timedelta(days=n) for n in range(rows)],
        }
    )


def job(folder: Path, night: Night, **more: Any) -> Job:
    """The night's job: a Python caller's, and with the sandbox."""
    settings = Settings(
        screening=Screening(endpoints=ENDPOINTS, max_age="since-last-run"),
        input=Input(keep_columns=tuple(night.kept)),
        pacing=Pacing(rate_per_second=5_000, ramp_up_seconds=0),
        guards=Guards(max_failure_share=1.0),
        output=Output(folder=str(folder / "screened"), shard_lookups=1_000),
        **more,
    )
    inputs, day = (str(folder / night.listed),), date.fromisoformat(night.day)
    return Job(inputs, settings, run_date=day, new_run=night.is_again, sandbox=True)


def make_nights(folder: Path, nights: Sequence[Night] = NIGHTS) -> Path:
    """Screens the nights one after the other; returns their output folder."""
    write_lists(folder)
    for night in nights:
        if night.is_stopped:
            with pytest.raises(BatchScreenError):
                batch_screen.run(job(folder, night, budget=Budget(max_requests=40)))
        batch_screen.run(job(folder, night))
    return folder / "screened"
