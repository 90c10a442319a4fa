"""Complete runs of the same numbers on several dates, with answers that a test chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from batch_screen.commands.parts import layout_of
from batch_screen.commands.write import write_outputs
from batch_screen.comparison.changes import compared
from batch_screen.config.screening import Screening
from batch_screen.config.sections import Output
from batch_screen.config.settings import Settings
from batch_screen.journal.seal import write_sealed
from batch_screen.model import Endpoint, OutcomeKind, Plan, Session
from batch_screen.planning.shards import shard_rows_path
from batch_screen.runs.events import RunEvents
from batch_screen.runs.layout import Layout
from batch_screen.runs.state import Run
from batch_screen.tables.summary import Summary
from tests.making import made
from tests.unit.tables.frames import number, outcome, outcomes_of

CHECK, DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
DEVICE, FORWARDING = Endpoint.DEVICE_SWAP_CHECK, Endpoint.CALL_FORWARDING_CHECK
FIRST, SECOND = "2026-11-22", "2026-11-23"
UNKNOWN = {"outcome": OutcomeKind.TIMEOUT.value}

Answer = Callable[[int, Endpoint], dict[str, Any]]


def instant(day: str, hour: int = 4) -> datetime:
    return datetime.fromisoformat(day).replace(hour=hour, tzinfo=UTC)


def swapped(value: bool) -> dict[str, Any]:
    return {"swapped": value}


def dated(day: str | None) -> dict[str, Any]:
    if day is None:
        return {"latest_change": "none_reported"}
    return {"latest_change": "reported", "latest_change_at": instant(day, 1)}


def negative(i: int, endpoint: Endpoint) -> dict[str, Any]:
    """Nobody swapped, nobody forwards, no date is known."""
    if endpoint.answers_date:
        return dated(None)
    return {"active" if endpoint is FORWARDING else "swapped": False}


def lookups_of(rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    """Frames as they are compared."""
    return outcomes_of(rows).select(compared("e164").names())


class Night:
    """A run that was planned and answered; ``write_outputs`` writes it."""

    def __init__(
        self,
        out: Path,
        answer: Answer = negative,
        *,
        day: str = SECOND,
        numbers: Sequence[int] = range(120),
        endpoints: Sequence[Endpoint] = (CHECK,),
        shard_rows: int = 60,
        settings: Settings | None = None,
    ) -> None:
        base = settings or Settings()
        update = {
            "output": Output(folder=str(out)),
            "screening": Screening(endpoints=tuple(endpoints)),
        }
        self.settings = base.model_copy(update=update)
        self.day = day
        self.run: Run
        self.plan: Plan
        self.run, self.plan = made(
            out / ".state", list(numbers), self.settings, shard_rows=shard_rows, run_date=day
        )
        told = {"responded_at": instant(day), "latency_ms": 1.0, "unanswered": 0}
        for shard in range(len(self.plan.shards)):
            asked = pl.read_parquet(shard_rows_path(self.run.plan, shard))["e164"].unique().sort()
            rows = [
                told | outcome(i, endpoint, **answer(i, endpoint))
                for i in (int(n[-5:]) for n in asked)
                for endpoint in endpoints
            ]
            write_sealed(outcomes_of(rows), self.run.sealed, self.run.run_id, shard, {})

    def report(self, events: RunEvents | None = None) -> Summary:
        ended = instant(self.day, 5) + timedelta(minutes=len(self.run.run_id))
        session = Session(instant(self.day), ended)
        return write_outputs(self.run, self.plan, self.settings, session, events or RunEvents())

    @property
    def layout(self) -> Layout:
        return layout_of(self.run, self.settings)

    def frame(self, table: str) -> pl.DataFrame:
        parts = [pl.read_parquet(p, hive_partitioning=False) for p in self.layout.parts(table)]
        return pl.concat(parts)


__all__ = ["number"]
