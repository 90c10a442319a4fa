"""``batch-screen validate``: verifies written runs; any difference is exit code 65."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click
import msgspec

import batch_screen
from batch_screen.cli.console import print_json, print_text, unwind_on_signals
from batch_screen.cli.progress import watcher
from batch_screen.commands.validate import runs_in
from batch_screen.errors import ExitCode
from batch_screen.runs.events import RunEvents
from batch_screen.tables.integrity import PRIVATE, Validation, VerifyCheck

_NOT_MADE = "not checked"


def validate(
    *,
    folders: tuple[str, ...],
    run_id: str | None,
    every: bool,
    copied: bool,
    as_json: bool,
) -> int:
    """Prints every check of the chosen runs, and returns the exit code."""
    if every and run_id:
        raise click.UsageError("--run and --all exclude each other; use one")
    unwind_on_signals()
    wanted = [(f, r) for f in folders for r in (runs_in(f) if every else [run_id])]
    with watcher() as progress:
        found = [
            batch_screen.validate(folder, run, RunEvents(progress), copied=copied)
            for folder, run in wanted
        ]
    if as_json:
        print_json(_as_json(found))
    else:
        print_text("\n\n".join(map(_block, found)))
    return ExitCode.COMPLETE if all(each.is_whole for each in found) else ExitCode.CONTENT


def _as_json(found: Sequence[Validation]) -> list[dict[str, object]]:
    return [{"whole": each.is_whole, **msgspec.structs.asdict(each)} for each in found]


def _block(found: Validation) -> str:
    """A run's checks, one per line, each with its differences."""
    lines = [f"run {found.run_id} in {found.folder} · {_state(found)}", ""]
    lines += [line for check in found.checks for line in _lines(check)]
    reasons = dict.fromkeys(check.unchecked for check in found.checks if check.unchecked)
    return "\n".join([*lines, *(f"  {_NOT_MADE}: {reason}" for reason in reasons)])


def _state(found: Validation) -> str:
    if found.is_whole:
        return "whole"
    if all(check.is_ok or check.name == PRIVATE for check in found.checks):
        return f"{found.differences:,} differences, all of modes: its data is what was written"
    return f"{found.differences:,} differences: do not load it"


def _lines(check: VerifyCheck) -> Iterator[str]:
    state = "DIFFERS" if check.differences else _NOT_MADE if check.unchecked else "ok"
    yield f"  {state:{len(_NOT_MADE)}}  {check.name:10}  {check.examined:>11,}  {check.claim}"
    for difference in check.differences:
        yield f"      {difference.where}: {difference.what}"
    if check.differences:
        yield f"      to do: {check.remedy}"
