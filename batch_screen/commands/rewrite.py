"""Other kept columns for a run that is there: a complete one is written anew, asking nothing.

Only results have kept columns, so only they and the files beside the tables change. They grow where
no reader looks, under names of their own, and take the place of the old ones in one step: whenever
the process is killed, either the old run is whole or the new one, and the next start goes on.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple

import polars as pl
from msgspec.structs import replace

from batch_screen import __version__
from batch_screen.commands.open_run import OpenRun
from batch_screen.commands.parts import (
    layout_of,
    number_of_run,
    part_count,
    results_of,
    write_in_order,
)
from batch_screen.config.sections import Mode, Output
from batch_screen.errors import OutputError
from batch_screen.input.layout import shown
from batch_screen.input.table import Table
from batch_screen.job import Job
from batch_screen.masking import mask_text
from batch_screen.model import Endpoint, Plan
from batch_screen.planning.build import opened as opened_list
from batch_screen.planning.build import refuse_kept_numbers, unchanged
from batch_screen.planning.kept import keep_anew
from batch_screen.planning.shards import check_plan, read_plan, shard_rows_path
from batch_screen.reports.page import page
from batch_screen.reports.verdict import material_of
from batch_screen.runs.events import RunEvents
from batch_screen.runs.finding import is_answered
from batch_screen.runs.folders import refuse_link
from batch_screen.runs.layout import DATA_FOLDERS, RESULTS, Layout, NextWriting, latest_run
from batch_screen.runs.state import KEEP_COLUMNS, RETRY_OF, Run, id_key_of, readable_runs
from batch_screen.schema import KEPT_PREFIX, SCHEMA_VERSION
from batch_screen.storage.atomic import (
    atomic_write,
    sha256_of,
    sync_folder,
    translated,
    write_atomically,
)
from batch_screen.storage.lock import alone
from batch_screen.storage.parquet import scan_parquet
from batch_screen.storage.partition import HELD_BYTES
from batch_screen.storage.prefetch import ordered_map
from batch_screen.storage.reading import MOST_BYTES, open_regular
from batch_screen.tables import breakdown
from batch_screen.tables.integrity import marker_check, own_files, refuse_changed, refuse_differing
from batch_screen.tables.manifest import (
    Manifest,
    ManifestHead,
    completing,
    is_whole,
    kept_names,
    latest_content,
    list_files,
    marker_content,
    read_facts,
    read_manifest,
    write_manifest,
    write_schema,
)
from batch_screen.tables.summary import Summary, read_summary, write_summary


class _Written(NamedTuple):
    """A run that is there, and the setting by which its columns were kept last."""

    run: Run
    layout: Layout
    keep_columns: Sequence[str]
    is_complete: bool


def keep_other_columns(job: Job, opened: OpenRun) -> None:
    """Gives the run, and those that retry it, the kept columns of the job, where it has others.

    An unfinished run goes on with them. Raises ``OutputError`` where the run is complete and the
    state that it could be written anew from is gone.
    """
    wanted, table = [*job.settings.input.keep_columns], None
    for each in _with_retries(job, opened):
        if each.is_complete:
            settle(each.layout)
        if [*each.keep_columns] == wanted:
            continue
        if table is None:
            table, _ = opened_list(opened.files, job.settings)
            if job.ids:
                refuse_kept_numbers(table)
        if each.is_complete:
            _rewrite(job, each, table, opened)
        else:
            _replan(job, each.run, table, opened)
            opened.events.progress.note(f"run {each.run.run_id} goes on with {_named(table.kept)}")


def _with_retries(job: Job, opened: OpenRun) -> Iterator[_Written]:
    """The opened run, then those that retry it, or retry one of these."""
    ids = {opened.run.run_id}
    runs = readable_runs(job.state, opened.events.progress.note)
    others = [run for run in runs if RETRY_OF in run.file.identity.settings]
    others.sort(key=lambda run: run.file.created_at)
    for run in (opened.run, *others):
        if run is not opened.run and run.file.identity.settings[RETRY_OF] not in ids:
            continue
        ids.add(run.run_id)
        of, own = layout_of(run, job.settings), opened.layout
        layout = Layout(own.folder, run.run_id, of.run_date, sandbox=of.sandbox)
        if is_whole(layout):
            settings = read_summary(layout.summary).settings
            named = settings.get(KEEP_COLUMNS)
            yield _Written(run, layout, named if isinstance(named, list) else [], is_complete=True)
        elif run.plan.exists():
            yield _Written(run, layout, run.identity.keep_columns, is_complete=False)


def _replan(job: Job, run: Run, table: Table, opened: OpenRun) -> Plan | None:
    """The run's plan with the columns of the list, written anew unless it has them."""
    plan = read_plan(run.plan)
    if plan is None or plan.kept == [*table.kept]:
        return plan
    opened.events.progress.stage("reading")
    check_plan(run.plan, plan)
    share, names = job.settings.output.memory_share, job.settings.input.keep_columns
    batches = unchanged(table, opened.files, opened.run.file.identity.content, share)
    target, held_bytes = run.folder / "plan", int(HELD_BYTES * share)
    return keep_anew(
        run.plan,
        plan,
        target,
        batches,
        [*table.kept],
        names,
        held_bytes,
        opened.events,
        id_key_of(run.file.identity.settings),
    )


def _rewrite(job: Job, written: _Written, table: Table, opened: OpenRun) -> None:
    """Writes a complete run's results anew with the columns of the list."""
    run, events = written.run, opened.events
    manifest = read_facts(written.layout)
    if manifest is None or kept_names(manifest.kept_columns) == kept_names(table.kept):
        return  # the same columns by other names
    own = written.layout  # most of its files stay, and so does its mode
    mode = Mode.GROUP if manifest.mode == Mode.GROUP else Mode.PRIVATE
    layout = Layout(own.folder, own.run_id, own.run_date, mode, sandbox=own.sandbox)
    if manifest.erased or not is_answered(run):
        raise _state_gone(job, layout, manifest, table)
    if manifest.schema_version != SCHEMA_VERSION:
        raise OutputError(
            f"run {run.run_id} was written with schema version {manifest.schema_version}; delete "
            f"{layout.marker} and start the same command again: it writes all its files anew with "
            f"{_named(table.kept)}, and asks nothing"
        )
    for path in (layout.run, layout.run.parent, day := layout.part(RESULTS, 0).parent, day.parent):
        refuse_link(path)
    _refuse_damaged(layout, manifest, events)
    plan = _replan(job, run, table, opened)
    if plan is None:  # it was there a moment ago
        raise _state_gone(job, layout, manifest, table)
    events.progress.note(
        f"run {run.run_id} is complete: its results are written anew from its state with "
        f"{_named(table.kept)}, and nothing is asked"
    )
    events.progress.stage("writing", total=len(plan.shards))
    _write(job, run, plan, layout, manifest, events)
    settle(layout)


def _refuse_damaged(layout: Layout, manifest: Manifest, events: RunEvents) -> None:
    """Raises ``InputError`` where what stays of the run is not what was written.

    The new manifest vouches for it once more.
    """
    names = {layout.named(path) for path in (layout.summary, layout.errors_csv, layout.pace)}
    files = own_files(layout, manifest)
    staying = [f for f in files if f.path in names or f.table not in (None, RESULTS)]
    refuse_differing(layout, marker_check(layout))
    refuse_changed(layout, staying, events)


def _write(  # noqa: PLR0913, PLR0917 (a run, as it is and as it shall be)
    job: Job, run: Run, plan: Plan, layout: Layout, manifest: Manifest, events: RunEvents
) -> None:
    """Writes the run as it shall be beside the run as it is, then exchanges the two."""
    output = job.settings.output
    anew = NextWriting(layout)
    anew.made(anew.run)
    summary = _summary(read_summary(layout.summary), job, plan)
    asked = [endpoint for endpoint in Endpoint if endpoint.value in summary.endpoints]
    kinds = _write_results(run, plan, anew, output, asked, events)
    write_summary(anew.summary, summary, anew.file_mode)
    for source, target in ((layout.errors_csv, anew.errors_csv), (layout.pace, anew.pace)):
        with open_regular(source) as old, atomic_write(target, mode=anew.file_mode) as new:
            shutil.copyfileobj(old, new)
    if output.in_order or layout.in_order.exists():
        parts = anew.parts(RESULTS)
        write_in_order(parts, anew.in_order, plan.places, anew.footer, anew.file_mode)
    columns = scan_parquet([shard_rows_path(run.plan, 0)]).collect_schema()
    write_schema(anew, columns, manifest.id_key)
    listed = list_files(anew)
    found = breakdown.broken_down(kinds, asked)
    content = page(material_of(anew, summary, found, listed))
    write_atomically(anew.html, content, mode=anew.file_mode)
    as_it_was = {name: getattr(manifest, name) for name in ManifestHead.__struct_fields__}
    head = replace(ManifestHead(**as_it_was), version=__version__, kept_columns=kept_names(columns))
    # A load or an upload may read it.
    with completing(layout) as now, alone(layout.manifest, f"run {layout.run_id}"):
        write_manifest(anew, listed, replace(head, completed_at=now))
        digest = sha256_of(anew.manifest, MOST_BYTES)
        write_atomically(anew.marker, marker_content(digest), mode=anew.file_mode)
        anew.publish()


def _write_results(  # noqa: PLR0913, PLR0917 (a run, and how and where it is written)
    run: Run,
    plan: Plan,
    anew: Layout,
    output: Output,
    asked: Sequence[Endpoint],
    events: RunEvents,
) -> pl.DataFrame | None:
    """Writes the parts of results; the counts for the report's breakdown."""
    shards = len(plan.shards)

    def write(part: int) -> list[pl.DataFrame]:
        mine, tallies = range(part, shards, part_count(shards)), []
        with anew.opened_part(RESULTS, mine, shards, output) as write_rows:
            for shard in mine:
                rows = results_of(run, plan, shard)
                write_rows(rows)
                tallies.append(breakdown.tally(rows.lazy(), asked, number_of_run(run)))
        return tallies

    kinds: pl.DataFrame | None = None
    with ordered_map(write, range(part_count(shards))) as tallied:
        for tallies in tallied:
            for each in tallies:
                kinds = breakdown.added(kinds, each)
            events.advance(len(tallies))
    return kinds


def settle(layout: Layout) -> None:
    """Removes what a run that was written anew has left of its other writing, if anything."""
    if not layout.growing.exists():
        return
    manifest = read_manifest(layout)
    if manifest is None:  # nobody can say which parts are the run's
        return
    listed = {file.path for file in manifest.files}
    if latest_run(layout.folder) == layout.run_id:
        content = latest_content(layout, sha256_of(layout.manifest, MOST_BYTES))
        write_atomically(layout.latest, content, mode=layout.file_mode)
    with ExitStack() as held:
        if (other := layout.growing / layout.manifest.name).exists():
            held.enter_context(alone(other, f"run {layout.run_id}"))
        held.enter_context(translated("replace", layout.run))
        for table in DATA_FOLDERS:
            unlisted = [p for p in layout.all_parts(table) if layout.named(p) not in listed]
            for path in unlisted:
                path.unlink()
            if unlisted:
                sync_folder(unlisted[0].parent)
        # Last: while it is there, the next start comes here again.
        shutil.rmtree(layout.growing)
        sync_folder(layout.growing.parent)


def _summary(summary: Summary, job: Job, plan: Plan) -> Summary:
    """The run's summary with its new columns; what was asked and when stays as it is."""
    settings = {**summary.settings, KEEP_COLUMNS: [*job.settings.input.keep_columns]}
    rows = replace(summary.rows, nul_cells=plan.nul_cells)
    return replace(summary, version=__version__, settings=settings, rows=rows)


def _state_gone(job: Job, layout: Layout, manifest: Manifest, table: Table) -> OutputError:
    """Why a run cannot be written anew, and what another one costs."""
    prices, summary = job.settings.prices, read_summary(layout.summary)
    cost = sum(
        figures.total * prices.per_request.get(Endpoint(name), 0.0)
        for name, figures in summary.endpoints.items()
    )
    price = f" for {cost:,.2f} {mask_text(prices.currency)} before retries" if cost else ""
    again = f"--new-run asks {summary.lookups:,} lookups again{price}"
    if manifest.erased:  # a state that was restored would write them back
        return OutputError(
            f"run {layout.run_id} is complete, with {_named(manifest.kept_columns)}, and people "
            f"were erased from it, so it is not written anew from a state, which may hold them: "
            f"keep the same columns; {again}"
        )
    return OutputError(
        f"run {layout.run_id} is complete, with {_named(manifest.kept_columns)}; with "
        f"{_named(table.kept)} it would be written anew, asking nothing, but its state in "
        f"{job.state / 'runs' / layout.run_id} is gone: restore it, or keep the same columns; "
        f"{again}"
    )


def _named(kept: Iterable[str]) -> str:
    names = [shown(name.removeprefix(KEPT_PREFIX)) for name in kept]
    return f"the kept columns {', '.join(names)}" if names else "no kept columns"
