"""``batch-screen load``: complete runs into a warehouse."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import click
import pyarrow as pa

import batch_screen
from batch_screen.cli import log
from batch_screen.cli.console import print_json, print_lines, print_text, unwind_on_signals
from batch_screen.cli.progress import watcher
from batch_screen.commands.load import WOULD, LoadReport, RunLoad
from batch_screen.commands.load_lineage import LoadLineage
from batch_screen.notify.announce import tried
from batch_screen.reports.words import counted
from batch_screen.runs.events import RunEvents
from batch_screen.runs.layout import DATA_FOLDERS
from batch_screen.warehouse.runs import RunToLoad
from batch_screen.warehouse.target import LoadOptions


def load(
    *,
    folders: tuple[str, ...],
    to: str,
    run_ids: tuple[str, ...],
    schema: str,
    tables: tuple[str, ...],
    new_columns: str,
    no_create: bool,
    replace: bool,
    sandbox: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Loads what is new, with a line for each run as soon as it is in."""
    options = LoadOptions(
        _tables(tables),
        creates=not no_create,
        adds=new_columns == "add",
        replaces=replace,
    )
    unwind_on_signals()
    # Arrow's own allocator keeps 50 MiB more of the batches that are gone than the system's does.
    pa.set_memory_pool(pa.system_memory_pool())
    lineage = LoadLineage(to, schema, options.tables, os.environ)

    def begun(run: RunToLoad) -> None:
        if not dry_run:
            _warn(lambda: lineage.begin(run))

    def done(run: RunLoad) -> None:
        if not as_json:
            print_lines(_lines(run))
        if not dry_run:
            _warn(lambda: lineage.loaded(run))

    with watcher() as progress:
        try:
            report = batch_screen.load(
                folders,
                to,
                run_ids=run_ids,
                schema=schema,
                options=options,
                sandbox=sandbox,
                dry_run=dry_run,
                events=RunEvents(progress),
                on_begin=begun,
                on_run=done,
            )
        except BaseException as error:
            _warn(partial(lineage.failed, error))
            raise
    if as_json:
        print_json(report)
    else:
        print_text(_sum(report))


def _warn(announce: Callable[[], list[str]]) -> None:
    for each in tried("lineage", announce):
        log.warning(each)


def _tables(given: Iterable[str]) -> tuple[str, ...]:
    names = [name.strip() for text in given for name in text.split(",")]
    for name in names:
        if name not in DATA_FOLDERS:
            raise click.UsageError(
                f"--tables: {name[:40]!r} is none; choose among {', '.join(DATA_FOLDERS)}"
            )
    return tuple(table for table in DATA_FOLDERS if table in names or not names)


def _lines(run: RunLoad) -> Iterator[str]:
    rows = ", ".join(f"{table} {rows:,}" for table, rows in run.rows.items())
    yield f"run {run.run_id}: {run.state}{': ' if rows else ''}{rows}"
    yield from (f"  first makes {line}" for line in run.makes)


def _sum(report: LoadReport) -> str:
    where = f"{report.target}, schema {report.schema}"
    had = f"{counted(report.already, 'run')} already there"
    if not report.runs:
        return f"nothing new for {where}: {had}"
    verb = WOULD if report.dry_run else "new"
    return f"{counted(len(report.runs), 'run')} {verb}, {had}: {where}"
