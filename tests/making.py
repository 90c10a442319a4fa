"""Small plans, runs and dispatchers, made without reading a file or sending a request."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from batch_screen.config.settings import Settings
from batch_screen.engine.adaptive_rate import AdaptiveRate
from batch_screen.engine.budget import BudgetGuard
from batch_screen.engine.dispatcher import Dispatcher
from batch_screen.engine.pacer import local_pacer
from batch_screen.engine.tasks import Ask, Correlate, Journal
from batch_screen.model import Plan
from batch_screen.planning.history import KNOWN, write_history
from batch_screen.planning.shards import make_plan
from batch_screen.runs.state import Identity, Run, create_run
from batch_screen.schema import PHONE_COLUMN, ROW, dtypes


def number(i: int) -> str:
    """A number that ends in ``i``; from 60,000 on it lies in another block.

    From 900,000 on it is one of Germany, and from 950,000 on one of France.
    """
    if i >= 900_000:
        return f"+336{i:08d}" if i >= 950_000 else f"+49151{i:08d}"
    return f"+4420794{i:05d}" if i >= 60_000 else f"+4477009{i:05d}"


def _region(number: str) -> str:
    return {"+44": "GB", "+49": "DE", "+33": "FR"}[number[:3]]


def batch(cells: Sequence[int | None], first: int = 0) -> pl.DataFrame:
    """Normalised rows: a number, or None for a row that is turned down."""
    height = len(cells)
    accepted = [None if i is None else number(i) for i in cells]
    return pl.DataFrame(
        {
            "row_index": range(first, first + height),
            "source_file": ["list.csv"] * height,
            "source_row": range(first + 1, first + height + 1),
            "phone_column": ["phone"] * height,
            "raw": ["07700 900abc" if i is None else f"07700 9{i:05d}" for i in cells],
            "raw_region": ["GB"] * height,
            "in_id": [f"c{i}" for i in range(first, first + height)],
            "e164": accepted,
            "region": [_region(n) if n else None for n in accepted],
            "number_type": ["mobile" if n else None for n in accepted],
            "rule": ["national" if n else None for n in accepted],
            "reject_reason": [None if n else "not_a_number" for n in accepted],
            "reject_detail": [None if n else "letters" for n in accepted],
        },
        schema={
            **{c.name: c.dtype for c in (*ROW, PHONE_COLUMN)},
            **dict.fromkeys(["raw", "raw_region", "in_id", "e164", "region"], pl.String),
            **dict.fromkeys(["number_type", "rule", "reject_reason", "reject_detail"], pl.String),
        },
    )


def batches(cells: Sequence[int | None], rows: int = 1000) -> Iterator[pl.DataFrame]:
    for first in range(0, len(cells), rows):
        yield batch(cells[first : first + rows], first)


def made(
    state: Path,
    cells: Sequence[int | None],
    settings: Settings | None = None,
    *,
    shard_rows: int = 1000,
    known: pl.DataFrame | None = None,
    run_date: str = "2026-11-23",
) -> tuple[Run, Plan]:
    """A planned run that has asked nothing yet; ``known`` has the columns ``history.KNOWN``."""
    identity = Identity(["c0ffee"], run_date, (settings or Settings()).identity())
    run = create_run(state, identity, ["/lists/list.csv"], taken=[])

    def write(folder: Path, shards: int) -> Mapping[int, str]:
        return write_history([] if known is None else [known], folder, shards)

    plan = make_plan(
        batches(cells),
        run.plan,
        shard_rows=shard_rows,
        facts={},
        on_rows=lambda _: None,
        phone_columns=["phone"],
        history=write,
    )
    return run, plan


def known_rows(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """What earlier runs know: number, endpoint, responded_at, and what else a row has."""
    full = {c.name: [row.get(c.name) for row in rows] for c in KNOWN}
    return pl.DataFrame(full, schema=dtypes(KNOWN))


def dispatcher_of(
    settings: Settings,
    ask: Ask,
    journal: Journal,
    *,
    rate: float | None = None,
    correlate: Correlate = lambda lookup, attempt: f"{lookup.e164} {attempt}",
    jitter: Callable[[], float] = random.random,
    adaptive: type[AdaptiveRate] = AdaptiveRate,
) -> Dispatcher:
    """A dispatcher in the running loop that has spent nothing, at most at the settings' rate."""
    pacing, clock = settings.pacing, asyncio.get_running_loop().time
    most = pacing.rate_per_second * (1 - pacing.headroom) if rate is None else rate
    adapting = adaptive(lambda: most, pacing, clock=clock, jitter=jitter)
    return Dispatcher(
        settings,
        ask=ask,
        journal=journal,
        correlate=correlate,
        pacer=local_pacer(pacing, adapting, clock=clock, endpoints=settings.endpoints),
        budget=BudgetGuard(settings.budget, settings.prices, {}),
    )
