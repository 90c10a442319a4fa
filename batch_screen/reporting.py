"""Enrich → report: from plan and sealed outcomes to everything a run leaves behind.

Parts first, then reports, then the manifest, last of all the marker: a run that ends early
leaves no marker, and the next start writes the same files again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from batch_screen.config.settings import Settings
from batch_screen.files import check_writable, whole
from batch_screen.journal.seal import read_sealed
from batch_screen.masking import mask_number
from batch_screen.model import Plan
from batch_screen.numbers.rules import REMEDY
from batch_screen.output.enrich import enrich
from batch_screen.output.failures import lookup_errors, reject_errors, write_errors_csv
from batch_screen.output.manifest import write_manifest, write_marker, write_schema
from batch_screen.output.parts import ERRORS, LOOKUPS, RESULTS, Layout
from batch_screen.output.summary import (
    Session,
    Summary,
    check,
    count_lookups,
    count_rows,
    write_summary,
)
from batch_screen.plan import read_rejects, read_rows, shard_rows_path
from batch_screen.runs import Run
from batch_screen.schema import KEPT_PREFIX, conform
from batch_screen.schema import LOOKUPS as LOOKUP_COLUMNS
from batch_screen.version import __version__
from batch_screen.watch import Watch

_TEST_NUMBERS = "numbers.test_numbers"
_REMEDIES = {reason.value: remedy for reason, remedy in REMEDY.items()}


def layout_of(run: Run, settings: Settings) -> Layout:
    """Where the run's output lies."""
    return Layout(Path(settings.output.folder), run.run_id, run.file.identity.run_date)


def report(run: Run, plan: Plan, settings: Settings, session: Session, watch: Watch) -> Summary:
    """Writes the run's output and returns its figures, counted from what was written.

    Raises ``Stopped`` between two shards if the watcher wants that.
    """
    layout = layout_of(run, settings)
    check_writable(layout.run)
    layout.clear()
    for shard in range(len(plan.shards)):
        _write_parts(run, plan, shard, layout, settings)
        watch.advance(1)
    endpoints = count_lookups(layout.parts(LOOKUPS), settings.prices)
    check(
        plan,
        len(settings.screening.endpoints),
        endpoints,
        result_rows=sum(_height(path) for path in layout.parts(RESULTS)),
        error_rows=sum(_height(path) for path in layout.parts(ERRORS)),
    )
    summary = Summary(
        run_id=run.run_id,
        run_date=layout.run_date,
        version=__version__,
        status="complete",
        rows=count_rows(plan),
        endpoints=endpoints,
        cost=round(sum(figures.cost for figures in endpoints.values()), 6),
        currency=settings.prices.currency,
        session=session,
        settings=_masked(run.file.identity.settings),
        facts=plan.facts,
    )
    write_summary(layout.summary, summary)
    with whole(layout.errors_csv) as file:
        write_errors_csv(file, _frames(layout.parts(ERRORS)))
    write_schema(layout, _kept(run))
    write_manifest(layout)
    write_marker(layout)
    return summary


def _write_parts(run: Run, plan: Plan, shard: int, layout: Layout, settings: Settings) -> None:
    for table, frame in _tables(run, plan, shard):
        # The first part is always there, so that every table can be read.
        if shard == 0 or frame.height:
            layout.write_part(table, shard, frame, settings.output)
        del frame  # so that only one is in memory beside the outcomes


def _tables(run: Run, plan: Plan, shard: int) -> Iterator[tuple[str, pl.DataFrame]]:
    outcomes = read_sealed(run.sealed, run.run_id, shard)
    rejects = read_rejects(run.plan, plan) if shard == 0 else None
    yield RESULTS, enrich(read_rows(run.plan, plan, shard), outcomes, run.run_id)
    yield LOOKUPS, conform(outcomes.with_columns(run_id=pl.lit(run.run_id)), LOOKUP_COLUMNS)
    yield ERRORS, _errors(rejects, outcomes, run.run_id)


def _errors(rejects: pl.DataFrame | None, outcomes: pl.DataFrame, run_id: str) -> pl.DataFrame:
    failures = lookup_errors(outcomes, run_id)
    if rejects is None:
        return failures
    return pl.concat([reject_errors(rejects, _REMEDIES, run_id), failures])


def _masked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as a summary may show them: the one list of numbers among them is masked."""
    masked = [mask_number(number) for number in settings[_TEST_NUMBERS]]
    return {**settings, _TEST_NUMBERS: masked}


def _frames(paths: list[Path]) -> Iterator[pl.DataFrame]:
    for path in paths:
        yield pl.read_parquet(path, hive_partitioning=False)


def _height(path: Path) -> int:
    height: int = pl.scan_parquet(path).select(pl.len()).collect().item()
    return height


def _kept(run: Run) -> dict[str, pl.DataType]:
    schema = pl.read_parquet_schema(shard_rows_path(run.plan, 0))
    return {name: dtype for name, dtype in schema.items() if name.startswith(KEPT_PREFIX)}
