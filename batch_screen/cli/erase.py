"""``batch-screen erase``: says where people lie, erases them once confirmed, prints a receipt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

import batch_screen
from batch_screen.cli.console import confirmed, print_json, print_lines, unwind_on_signals
from batch_screen.cli.progress import watcher
from batch_screen.cli.text import labelled
from batch_screen.commands.erase import ErasedRun, EraseReport
from batch_screen.commands.erase_warehouses import ErasedTarget
from batch_screen.config.settings import Settings
from batch_screen.erasure.people import STDIN
from batch_screen.reports.words import counted
from batch_screen.runs.events import RunEvents

_REMINDER = (
    "a list that holds them asks about them again: name them in the opt-out list (--opt-out) from "
    "the next run on; a warehouse that --to did not name still holds them, and a bucket until "
    "batch-screen upload sends those runs again"
)


def erase(
    *,
    settings: Settings,
    numbers: str,
    to: tuple[str, ...],
    schema: str,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Prints where they lie and, once confirmed, erases them and prints the receipt."""
    del options  # they are among the settings
    unwind_on_signals()
    if numbers == STDIN and not (dry_run or yes):
        raise click.UsageError("--numbers - takes stdin, so nothing can be asked: use --yes")

    def look_or_erase(*, dry_run: bool) -> EraseReport:
        with watcher() as progress:
            return batch_screen.erase(
                numbers,
                settings,
                to=to,
                schema=schema,
                dry_run=dry_run,
                events=RunEvents(progress),
            )

    if not yes or dry_run:
        found = look_or_erase(dry_run=True)
        if not as_json:
            print_lines(_lines(found))
        if dry_run or found.is_empty or not confirmed(f"Erase {_content(found)}?", yes=False):
            if as_json:
                print_json(found)
            return
    report = look_or_erase(dry_run=False)
    if as_json:
        print_json(report)
    else:
        print_lines(_lines(report))


def _content(found: EraseReport) -> str:
    people = counted(len(found.numbers), "number")
    there = sum(sum(target.rows.values()) for target in found.targets)
    more = f", {counted(there, 'row')} of warehouses" if there else ""
    return f"{people}: {counted(found.rows, 'row')} of {counted(len(found.runs), 'run')}{more}"


def _lines(found: EraseReport) -> Iterator[str]:
    verb = "erased" if found.erased else "found"
    what = f"none of {counted(len(found.numbers), 'number')}" if found.is_empty else _content(found)
    yield f"{verb} {what} in {found.out}, {found.at:%Y-%m-%d %H:%M:%S} UTC"
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
    for target in found.targets:
        yield from _target_lines(target, found)
    if found.erased:
        yield from labelled("to do", _REMINDER)


def _target_lines(target: ErasedTarget, found: EraseReport) -> Iterator[str]:
    where = f"{target.target}, schema {target.schema}"
    if target.is_empty:
        yield from labelled("warehouse", f"{where}: nothing of them {'left ' * found.erased}there")
    else:
        rows = ", ".join(f"{table} {count:,}" for table, count in target.rows.items())
        cells = f", {counted(target.cells, 'kept cell')} of other rows" if target.cells else ""
        verb = "erased" if found.erased else "found"
        runs = counted(len(target.runs), "run")
        yield from labelled("warehouse", f"{where}: {verb} in {runs}: {rows}{cells}")
    for run_id in target.to_replace:
        line = f"{run_id} is not what {found.out} has: batch-screen load --replace"
        yield from labelled("", line)
    for line in target.remains:
        yield from labelled("remains", line)


def _run_lines(run: ErasedRun) -> Iterator[str]:
    rows = ", ".join(f"{table} {count:,}" for table, count in run.rows.items())
    cells = f", {counted(run.cells, 'kept cell')} of other rows" if run.cells else ""
    yield f"  {run.run_id}  rows: {rows}{cells}"
    if run.manifest_after:
        yield f"    manifest before {run.manifest_before}"
        yield f"             after  {run.manifest_after}"
    else:
        yield from (f"    {name}" for name in run.files)
