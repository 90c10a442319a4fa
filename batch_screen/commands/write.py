"""Writes a run's output from plan and sealed outcomes: tables, summary, report, manifest.

Parts first, then reports, then the manifest, last of all the marker: a run that ends early
leaves no marker, and the next start writes the same files again. Of a run that was stopped
there is a summary alone, counted from its state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from time import monotonic

import polars as pl
from msgspec.structs import replace

from batch_screen import __version__
from batch_screen.commands.parts import Tallied, layout_of, part_count, write_in_order, write_part
from batch_screen.comparison.feed import RunFacts
from batch_screen.comparison.previous import CurrentRun, summary_before, write_changes
from batch_screen.config.settings import Settings
from batch_screen.errors import SIGNAL_EXIT, BatchScreenError, exit_code_of
from batch_screen.journal.records import SpendCounter
from batch_screen.journal.seal import is_sealed, read_outcomes, sealed_outcomes
from batch_screen.masking import mask_number, mask_text, safe_line
from batch_screen.model import Plan, Session
from batch_screen.planning.shards import (
    planned_numbers,
    read_carried,
    read_rows,
    rejects_path,
    shard_rows_path,
)
from batch_screen.privacy.vault import write_vault
from batch_screen.reports.page import pace_svg, page
from batch_screen.reports.verdict import material_of
from batch_screen.runs.events import RunEvents
from batch_screen.runs.layout import ERRORS, LOOKUPS, RESULTS, Layout, layout_of_run
from batch_screen.runs.sessions import read_sessions
from batch_screen.runs.state import BASE_URL, Run, id_key_of, limit_of
from batch_screen.schema import ERRORS as ERROR_COLUMNS
from batch_screen.storage.atomic import atomic_write, check_writable, write_atomically
from batch_screen.storage.parquet import metadata_of, row_groups, scan_parquet
from batch_screen.storage.prefetch import ordered_map
from batch_screen.storage.records import check_file
from batch_screen.tables import breakdown
from batch_screen.tables import counts as counting
from batch_screen.tables.counts import count_lookups, count_saved, scans_of, with_left
from batch_screen.tables.coverage import count_contradictions, count_coverage
from batch_screen.tables.errors import write_guarded_csv
from batch_screen.tables.manifest import (
    completing,
    head_of,
    kept_names,
    list_files,
    read_manifest,
    write_manifest,
    write_marker,
    write_schema,
)
from batch_screen.tables.results import count_risk
from batch_screen.tables.summary import (
    COMPLETE,
    STOPPED,
    Ending,
    LookupFigures,
    Summary,
    check_accounting,
    count_rows,
    write_summary,
)
from batch_screen.tables.thresholds import judged

_CAUSE_CHARACTERS = 4_000
_MOST_SECONDS = 10.0
"""For counting after a signal: services are killed 30 to 90 seconds after it."""
_STEPS_OF_ALL = 1_200
"""Over all sessions of a run, so that restarts in a loop do not fill the summary."""
_STEPS_OF_A_START = 10
_TEST_NUMBERS = "numbers.test_numbers"


def write_outputs(
    run: Run, plan: Plan, settings: Settings, session: Session, events: RunEvents
) -> Summary:
    """Writes the run's output and returns its figures, counted from the written files.

    Raises ``Stopped`` between two shards if the watcher wants that.
    """
    layout = layout_of(run, settings)
    check_writable(layout.made(layout.run))
    layout.clear()
    check_file(rejects_path(run.plan), plan.rejects_sha256)

    shards = len(plan.shards)
    parts = part_count(shards)

    def write(part: int) -> list[Tallied]:
        return write_part(run, plan, range(part, shards, parts), layout, settings)

    kinds: pl.DataFrame | None = None
    counts: counting.LookupCounts | None = None
    with ordered_map(write, range(parts)) as written:
        for tallies in written:
            for numbers, lookups in tallies:
                kinds = breakdown.added(kinds, numbers)
                counts = counting.added(counts, lookups)
            events.advance(shards // parts)
    endpoints = counting.figures_of(counts, settings.prices)
    with ThreadPoolExecutor(1) as beside:  # lines of text take one core, counting the others
        errors = beside.submit(_write_errors_csv, layout)
        summary = judge_run(_counted(run, plan, settings, session, endpoints, events), settings)
        errors.result()
    write_summary(layout.summary, summary, layout.file_mode)
    write_atomically(layout.pace, pace_svg(summary.starts), mode=layout.file_mode)
    if settings.output.in_order:
        of_results, mode = layout.parts(RESULTS), layout.file_mode
        write_in_order(of_results, layout.in_order, plan.places, layout.footer, mode)
    columns = scan_parquet([shard_rows_path(run.plan, 0)]).collect_schema()
    write_schema(layout, columns, id_key_of(run.file.identity.settings))
    listed = list_files(layout)
    found = breakdown.broken_down(kinds, settings.endpoints)
    content = page(material_of(layout, summary, found, listed))
    write_atomically(layout.html, content, mode=layout.file_mode)
    head = replace(
        head_of(summary),
        shards=shards,
        mode=layout.mode,
        started_at=run.file.created_at,
        inputs=_inputs(run, plan, layout),
        kept_columns=kept_names(columns),
    )
    if vault := settings.privacy.id_vault:
        rows = (read_rows(run.plan, plan, shard) for shard in range(shards))
        write_vault(Path(vault), run.run_id, rows)
    with completing(layout) as now:
        write_manifest(layout, listed, replace(head, completed_at=now))
        write_marker(layout)
    return summary


def _inputs(run: Run, plan: Plan, layout: Layout) -> Sequence[str]:
    """SHA-256 of the input files; a retry, which reads none, has those of the run it retries."""
    for run_id in plan.supersedes[:1]:
        superseded = read_manifest(layout_of_run(layout.folder, run_id))
        if superseded and superseded.inputs:
            return superseded.inputs
    return run.file.identity.content


def _counted(  # noqa: PLR0913, PLR0917 (as report)
    run: Run,
    plan: Plan,
    settings: Settings,
    session: Session,
    endpoints: dict[str, LookupFigures],
    events: RunEvents,
) -> Summary:
    """Counts the written tables; writes the changes since the previous run, too."""
    layout = layout_of(run, settings)
    check_accounting(
        plan,
        len(settings.endpoints),
        endpoints,
        result_rows=_height(layout.parts(RESULTS)),
        lookup_rows=_height(layout.parts(LOOKUPS)),
        error_rows=_height(layout.parts(ERRORS)),
    )
    coverage = {}
    if settings.screening.reaches_back:
        coverage = count_coverage(scans_of(layout.parts(LOOKUPS)))
    identity, shards = run.file.identity, len(plan.shards)
    current = CurrentRun(
        layout,
        RunFacts(
            run.run_id,
            identity.run_date,
            plan.unique_numbers,
            tuple(endpoints),
            limit_of(identity.settings),
            id_key_of(identity.settings),
        ),
        identity.settings[BASE_URL],
        shards,
        part_count(shards),
        run.folder / "previous.json",
        plan.supersedes,
    )
    return replace(
        _summary(run, plan, settings, session, endpoints),
        changes=write_changes(current, settings.cohorts, settings.output, events),
        risk=count_risk(scans_of(layout.parts(RESULTS))),
        coverage=coverage,
        contradictions=count_contradictions(scans_of(layout.parts(LOOKUPS))),
    )


def _write_errors_csv(layout: Layout) -> None:
    with atomic_write(layout.errors_csv, mode=layout.file_mode) as file:
        rows = chain.from_iterable(map(row_groups, layout.parts(ERRORS)))
        write_guarded_csv(file, ERROR_COLUMNS, rows)


def judge_run(summary: Summary, settings: Settings) -> Summary:
    """A complete run's summary, judged by the thresholds of these settings."""
    guards = settings.guards
    layout = Layout(Path(settings.output.folder), summary.run_id, summary.run_date)
    compares = any(each.is_change for each in guards.thresholds)
    return judged(summary, guards, summary_before(layout, summary) if compares else None)


def count_stopped(
    run: Run, plan: Plan, settings: Settings, session: Session, error: Exception
) -> Summary:
    """The summary of a run that ``error`` has stopped, counted from its state.

    Of its shards one at a time is in memory. Raises ``TimeoutError`` where counting after a
    signal takes too long: its sender does not wait for ever.
    """
    until = monotonic() + _MOST_SECONDS if exit_code_of(error) > SIGNAL_EXIT else None
    counted = count_lookups(_outcomes_so_far(run, plan, until), settings.prices)
    endpoints = with_left(counted, settings.endpoints, plan.unique_numbers)
    # The text of a bug may quote data, so only its type is written.
    cause = str(error) if isinstance(error, BatchScreenError) else type(error).__name__
    ending = Ending.of(error, safe_line(cause, _CAUSE_CHARACTERS))
    complete = _summary(run, plan, settings, session, endpoints)
    return replace(complete, status=STOPPED, stopped=ending, exit_code=ending.exit_code)


def write_stopped(run: Run, settings: Settings, summary: Summary) -> None:
    """Writes the summary of a stopped run; never over that of a complete one."""
    layout = layout_of(run, settings)
    if not layout.is_marked:
        check_writable(layout.made(layout.run))
        write_summary(layout.summary, summary, layout.file_mode)


def _outcomes_so_far(run: Run, plan: Plan, until: float | None) -> Iterator[pl.LazyFrame]:
    for shard in range(len(plan.shards)):
        if until is not None and monotonic() > until:
            raise TimeoutError(f"counting took longer than {_MOST_SECONDS:g} s")
        only = planned_numbers(run.plan, plan, shard)
        if is_sealed(run.sealed, run.run_id, shard):
            found = scan_parquet([sealed_outcomes(run.sealed, run.run_id, shard)])
            is_ours = pl.lit(value=True) if only is None else pl.col("e164").is_in(only.implode())
            yield found.filter(is_ours)
        else:
            carried, spent = read_carried(run.plan, plan, shard), SpendCounter()
            yield read_outcomes(run.journal, run.run_id, shard, spent, carried, only).lazy()


def _summary(
    run: Run, plan: Plan, settings: Settings, session: Session, endpoints: dict[str, LookupFigures]
) -> Summary:
    """The summary of a complete run, its settings without whole numbers."""
    own = run.identity.settings
    return Summary(
        run_id=run.run_id,
        run_date=run.file.identity.run_date,
        version=__version__,
        status=COMPLETE,
        rows=count_rows(plan),
        endpoints=endpoints,
        cost=round(sum(figures.cost for figures in endpoints.values()), 6),
        currency=mask_text(settings.prices.currency),
        session=session,
        settings={**own, _TEST_NUMBERS: [mask_number(number) for number in own[_TEST_NUMBERS]]},
        facts=plan.facts,
        starts=_starts(run),
        max_failure_share=settings.guards.max_failure_share,
        saved=count_saved(endpoints, settings.screening.endpoints, settings.prices),
        supersedes=plan.supersedes,
        erased=plan.erased,
    )


def _starts(run: Run) -> list[Session]:
    """The run's sessions; the more there are, the longer the steps of their pace."""
    starts = read_sessions(run.sessions, run.run_id)
    steps = max(_STEPS_OF_A_START, _STEPS_OF_ALL // max(1, len(starts)))
    return [replace(start, pace=start.pace.at_most(steps)) for start in starts]


def _height(paths: Sequence[Path]) -> int:
    """The number of rows, from the footers of the files."""
    return sum(metadata_of(path).num_rows for path in paths)
