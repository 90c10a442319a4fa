"""What complete runs in the same output folder have answered, batch by batch, the newest first.

Their files are read as any reader would, by marker and manifest: no state is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import polars as pl
import pyarrow.parquet as pq

from batch_screen.model import Endpoint, OutcomeKind
from batch_screen.output.manifest import is_whole
from batch_screen.output.parts import LOOKUPS, Layout
from batch_screen.output.reread import DamagedPartError, readable
from batch_screen.output.summary import COMPLETE, Summary
from batch_screen.output.validate import is_run_id, layout_of_run

_BATCH_ROWS = 100_000
_SAME_SERVER = ("api.base_url", "api.dialect")
_CLOCKS_DIFFER = timedelta(days=1)
_FORWARDING = Endpoint.CALL_FORWARDING_CHECK.value  # true of one instant: no news tomorrow


class EarlierRun(NamedTuple):
    """A complete run and its figures."""

    layout: Layout
    summary: Summary


def earlier_runs(folder: Path, settings: Mapping[str, Any], oldest: datetime) -> list[EarlierRun]:
    """The complete runs that ended since then and asked the same server, the newest first.

    ``settings`` are those of the identity of the run that is to be planned. What the sandbox
    answered is never taken for an answer of the API, nor one server's for another's.
    """
    found = []
    for marker in (folder / "runs").glob("*/_SUCCESS"):
        if not is_run_id(marker.parent.name):
            continue
        layout = layout_of_run(folder, marker.parent.name)
        summary = _summary(layout) if is_whole(layout) else None
        if summary is None or _ended_before(summary, oldest):
            continue
        if all(summary.settings.get(name) == settings.get(name) for name in _SAME_SERVER):
            found.append(EarlierRun(layout, summary))
    return sorted(found, key=lambda run: run.summary.session.ended_at, reverse=True)


def earlier_answers(
    runs: list[EarlierRun], now: datetime, look_back: timedelta, on_damage: Callable[[str], None]
) -> Iterator[pl.DataFrame]:
    """Batches of their successes within ``look_back`` of ``now``, without call forwarding.

    Columns as in lookups; ``source_run_id`` is the run that asked. ``on_damage`` is told which
    run cannot be read: what it knew is unknown then, and so is asked again.
    """
    for run in runs:
        try:
            for path in run.layout.parts(LOOKUPS):
                for batch in _batches(path):
                    yield _usable(batch, run.layout.run_id, now, look_back)
        except DamagedPartError as error:
            on_damage(
                f"run {run.layout.run_id} cannot be read ({error}): it is left out of account"
            )


def _usable(batch: pl.DataFrame, run_id: str, now: datetime, look_back: timedelta) -> pl.DataFrame:
    asked_in = pl.lit(run_id)
    if "source_run_id" in batch.columns:  # schema 2 had none
        asked_in = pl.coalesce("source_run_id", asked_in)
    return batch.with_columns(source_run_id=asked_in).filter(
        pl.col("outcome") == OutcomeKind.SUCCESS.value,
        pl.col("endpoint") != _FORWARDING,
        pl.col("responded_at").is_between(now - look_back, now + _CLOCKS_DIFFER),
    )


def _batches(path: Path) -> Iterator[pl.DataFrame]:
    with readable():
        file = pq.ParquetFile(path)
    with file:
        batches = file.iter_batches(batch_size=_BATCH_ROWS)
        while True:
            with readable():
                batch = next(batches, None)
                frame = None if batch is None else pl.DataFrame(batch)
            if frame is None:
                return
            yield frame


def _ended_before(summary: Summary, oldest: datetime) -> bool:
    """Whether a run is older by its date as well, for the sandbox's take place on theirs."""
    day = datetime.fromisoformat(f"{summary.run_date}T23:59:59+00:00")
    return max(summary.session.ended_at, day) < oldest


def _summary(layout: Layout) -> Summary | None:
    try:
        found = msgspec.json.decode(layout.summary.read_bytes(), type=Summary)
    except (OSError, ValueError):  # msgspec's errors are ValueErrors
        return None
    return found if found.status == COMPLETE else None
