"""``batch-screen erase``: says where people lie, erases them once confirmed, prints a receipt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

import batch_screen
from batch_screen.cli.console import confirmed, print_json, print_text, unwind_on_signals
from batch_screen.cli.progress import watcher
from batch_screen.cli.text import labelled
from batch_screen.commands.erase import ErasedRun, EraseReport
from batch_screen.config.settings import Settings
from batch_screen.erasure.people import STDIN
from batch_screen.reports.words import counted
from batch_screen.runs.events import RunEvents

_REMINDER = (
    "a list that holds them asks about them again: name them in the opt-out list (--opt-out) from "
    "the next run on; a warehouse holds them until batch-screen load --replace, and a bucket until "
    "batch-screen upload sends those runs again"
)


def erase(
    *, settings: Settings, numbers: str, dry_run: bool, yes: bool, as_json: bool, **options: Any
) -> None:
    """Prints where they lie and, once confirmed, erases them and prints the receipt."""
    del options  # they are among the settings
    unwind_on_signals()
    if numbers == STDIN and not (dry_run or yes):
        raise click.UsageError("--numbers - takes stdin, so nothing can be asked: use --yes")
    if not yes or dry_run:
        found = _erase(numbers, settings, dry_run=True)
        if not as_json:
            print_text("\n".join(_lines(found)))
        if dry_run or found.is_empty or not confirmed(f"Erase {_content(found)}?", yes=False):
            if as_json:
                print_json(found)
            return
    report = _erase(numbers, settings, dry_run=False)
    if as_json:
        print_json(report)
    else:
        print_text("\n".join(_lines(report)))


def _erase(numbers: str, settings: Settings, *, dry_run: bool) -> EraseReport:
    with watcher() as progress:
        return batch_screen.erase(numbers, settings, dry_run=dry_run, events=RunEvents(progress))


def _content(found: EraseReport) -> str:
    people = counted(len(found.numbers), "number")
    return f"{people}: {counted(found.rows, 'row')} of {counted(len(found.runs), 'run')}"


def _lines(found: EraseReport) -> Iterator[str]:
    verb = "erased" if found.erased else "found"
    yield f"{verb} {_content(found)} in {found.out}, {found.at:%Y-%m-%d %H:%M:%S} UTC"
    yield from labelled("numbers", ", ".join(found.numbers))
    if found.not_found:
        yield from labelled("nowhere", ", ".join(found.not_found))
    yield ""
    for run in found.runs:
        yield from _run_lines(run)
    if found.states:
        verb = "removed" if found.erased else "holds them"
        yield from labelled("state", f"{verb}, of {', '.join(found.states)}")
    if found.vault:
        yield from labelled(
            "vault",
            f"{'without them' if found.erased else 'holds them'}, of {', '.join(found.vault)}",
        )
    elif found.has_ids:
        yield from labelled("vault", "none was named; where there is one, name it: --id-vault")
    if found.unfinished:
        yield from labelled("unfinished", f"holds them, in the way: {', '.join(found.unfinished)}")
    if found.erased:
        yield from labelled("to do", _REMINDER)


def _run_lines(run: ErasedRun) -> Iterator[str]:
    rows = ", ".join(f"{table} {count:,}" for table, count in run.rows.items())
    cells = f", {counted(run.cells, 'kept cell')} of other rows" if run.cells else ""
    yield f"  {run.run_id}  rows: {rows}{cells}"
    if run.manifest_after:
        yield f"    manifest before {run.manifest_before}"
        yield f"             after  {run.manifest_after}"
    else:
        yield from (f"    {name}" for name in run.files)
