"""``batch-screen runs``: lists complete runs; what is damaged is named, and is exit code 65."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import click
from msgspec.structs import replace

import batch_screen
from batch_screen.cli.console import print_json, print_lines
from batch_screen.commands.runs import CompletedRun, RunList
from batch_screen.errors import InputError
from batch_screen.masking import safe_text
from batch_screen.reports.words import counted
from batch_screen.runs.layout import DATA_FOLDERS
from batch_screen.runs.purged import PurgedRun
from batch_screen.tables.manifest import kept_names

_HEADS = ("run", "completed, UTC", *DATA_FOLDERS)
_ROW = "  {:21}  {:19}" + "  {:>9}" * len(DATA_FOLDERS) + "  {}"


def runs(
    *, folder: str, since: datetime | None, path: Path | None, gone: bool, as_json: bool
) -> None:
    """Prints the complete runs, the oldest completion first; or those that purge has removed."""
    if gone:
        if since is not None:
            raise click.UsageError("--gone and --since-completed exclude each other; use one")
        purged = batch_screen.list_purged(folder, path)
        if as_json:
            print_json({"gone": purged})
        else:
            print_lines(_purged_lines(purged, path))
        return
    found = batch_screen.list_runs(folder, since, path)
    if as_json:
        # A header may hold a number, where a row was taken for it.
        masked = [replace(r, kept_columns=kept_names(r.kept_columns)) for r in found.runs]
        print_json(replace(found, runs=masked))
    else:
        print_lines(_lines(found, path))
    for run_id in found.damaged[:1]:
        raise InputError(
            f"run {run_id} is complete, but its manifest.json is damaged or not the one that was "
            f"written: it is left out; batch-screen validate {folder} --run {run_id} says more"
        )


def _lines(found: RunList, written: Path | None) -> Iterator[str]:
    unfinished = f", {len(found.unfinished):,} unfinished" if found.unfinished else ""
    yield f"{counted(len(found.runs), 'complete run')}{unfinished}"
    if found.runs:
        yield ""
        yield _ROW.format(*_HEADS, "").rstrip()
    for run in found.runs:
        at = f"{run.completed_at:%Y-%m-%d %H:%M:%S}"
        rows = (f"{count:,}" for count in run.rows.values())
        yield _ROW.format(run.run_id, at, *rows, _marks(run)).rstrip()
    yield from _written(written)


def _purged_lines(purged: Sequence[PurgedRun], written: Path | None) -> Iterator[str]:
    yield f"{counted(len(purged), 'purged run')}"
    if purged:
        yield ""
        yield _ROW.format("run", "purged, UTC", *DATA_FOLDERS, "").rstrip()
    for run in purged:
        rows = (f"{run.rows[t]:,}" if t in run.rows else "" for t in DATA_FOLDERS)
        yield _ROW.format(run.run_id, f"{run.purged_at:%Y-%m-%d %H:%M:%S}", *rows, "").rstrip()
    yield from _written(written)


def _written(path: Path | None) -> Iterator[str]:
    if path is not None:
        yield f"written to {safe_text(str(path))}"


def _marks(run: CompletedRun) -> str:
    marks = {"current": run.current, "sandbox": run.sandbox, "limited": run.limit > 0}
    return ", ".join(name for name, applies in marks.items() if applies)
