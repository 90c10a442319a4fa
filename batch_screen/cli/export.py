"""``batch-screen export``: a sheet of customers that deserve a look, or of rows to repair."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from msgspec.structs import replace

import batch_screen
from batch_screen.cli.console import print_json, print_lines, unwind_on_signals
from batch_screen.cli.progress import watcher
from batch_screen.commands.export import ExportReport
from batch_screen.config.settings import Settings
from batch_screen.masking import safe_text
from batch_screen.runs.events import RunEvents
from batch_screen.runs.layout import is_run_id


def export(
    *,
    settings: Settings,
    run: str | None,
    run_id: str | None,
    flagged: bool,
    rejected: bool,
    unknown: bool,
    to: Path,
    masked: bool,
    as_json: bool,
    **_: Any,
) -> None:
    """Writes the sheet, and prints its counts and what was left out."""
    if flagged == rejected:
        raise click.UsageError("give one of --flagged and --rejected")
    if unknown and rejected:
        raise click.UsageError("--unknown goes with --flagged; leave it out")
    if run is not None and is_run_id(run):
        if run_id:
            raise click.UsageError("RUN names a run already; leave out --run")
        run, run_id = None, run
    folder = run or settings.output.folder
    if not folder:
        raise click.UsageError("name a run, or its output folder with --out")
    unwind_on_signals()
    with watcher() as progress:
        written = batch_screen.export(
            folder,
            to,
            run_id,
            rejected=rejected,
            unknown=unknown,
            masked=masked,
            state=settings.output.state_folder or None,
            events=RunEvents(progress),
        )
    written = replace(written, path=safe_text(written.path))
    if as_json:
        print_json(written)
    else:
        print_lines(_lines(written, rejected=rejected, with_unknown=unknown))


def _lines(written: ExportReport, *, rejected: bool, with_unknown: bool) -> Iterator[str]:
    counts = ", ".join(f"{count:,} {name}" for name, count in written.counts.items())
    rows = written.rows - (written.unknown if with_unknown else 0)
    verb = "were rejected" if rejected else "deserve a look"
    sums = f"{rows:,} of {written.of_rows:,} rows {verb}"
    yield f"run {written.run_id} · {sums}{': ' if counts else ''}{counts}"
    if written.unknown:
        what = "are in the sheet too" if with_unknown else "are left out; --unknown adds them"
        yield (
            f"{written.unknown:,} more are unknown, which is not safe "
            f"({written.unanswered:,} for want of an answer): they {what}"
        )
    if written.left_out:
        yield f"the run was limited: {written.left_out:,} rows of the list were left out"
    if written.note:
        yield f"cells are masked and without your other columns: {written.note}"
    yield written.path
