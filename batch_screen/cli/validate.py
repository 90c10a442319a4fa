"""``batch-screen validate``: re-reads what runs left behind; any difference is exit code 65."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from batch_screen.cli.console import show
from batch_screen.errors import ExitCode

if TYPE_CHECKING:
    from batch_screen.tables.integrity import Validation, VerifyCheck

_HEARTBEAT_SECONDS = 30.0
_NOT_MADE = "not checked"


@click.command()
@click.argument("folders", nargs=-1, required=True, metavar="FOLDER...")
@click.option("--run", "run_id", metavar="RUN_ID", help="The run, if not the latest.")
@click.option("--all", "every", is_flag=True, help="Every run of the output folder.")
@click.option(
    "--ignore-modes",
    is_flag=True,
    help="Leave out who may read the files, for a copy that has lost their modes.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def validate(
    *,
    folders: tuple[str, ...],
    run_id: str | None,
    every: bool,
    ignore_modes: bool,
    as_json: bool,
) -> int:
    """Re-read a run's files and say what differs from what it wrote.

    FOLDER is an output folder, whose latest run is taken, or a run's own, OUT/runs/RUN_ID.
    """
    if every and run_id:
        raise click.UsageError("--run and --all exclude each other; use one")

    from batch_screen.cli.progress import watcher  # noqa: PLC0415
    from batch_screen.commands.validate import runs_in  # noqa: PLC0415 (heavy)
    from batch_screen.commands.validate import validate as validated  # noqa: PLC0415
    from batch_screen.runs.events import RunEvents  # noqa: PLC0415

    wanted = [(f, r) for f in folders for r in (runs_in(f) if every else [run_id])]
    with watcher(_HEARTBEAT_SECONDS) as progress:
        found = [
            validated(folder, run, RunEvents(progress), ignore_modes=ignore_modes)
            for folder, run in wanted
        ]
    show(_json(found) if as_json else "\n\n".join(map(_block, found)))
    return ExitCode.COMPLETE if all(each.is_whole for each in found) else ExitCode.CONTENT


def _json(found: list[Validation]) -> str:
    import msgspec  # noqa: PLC0415

    runs = [{"whole": each.is_whole, **msgspec.to_builtins(each)} for each in found]
    return msgspec.json.format(msgspec.json.encode(runs)).decode()


def _block(found: Validation) -> str:
    """A run's checks, a line each, with what differs below the line."""
    lines = [f"run {found.run_id} in {found.folder} · {_state(found)}", ""]
    lines += [line for check in found.checks for line in _lines(check)]
    reasons = dict.fromkeys(check.unchecked for check in found.checks if check.unchecked)
    return "\n".join([*lines, *(f"  {_NOT_MADE}: {reason}" for reason in reasons)])


def _state(found: Validation) -> str:
    from batch_screen.tables.integrity import PRIVATE  # noqa: PLC0415 (heavy)

    if found.is_whole:
        return "whole"
    if all(check.is_ok or check.name == PRIVATE for check in found.checks):
        return f"{found.differences:,} differences, all of modes: its data is what was written"
    return f"{found.differences:,} differences: do not load it"


def _lines(check: VerifyCheck) -> Iterator[str]:
    state = "ok" if check.is_ok else "DIFFERS" if check.differences else _NOT_MADE
    yield f"  {state:{len(_NOT_MADE)}}  {check.name:10}  {check.examined:>11,}  {check.claim}"
    for difference in check.differences:
        yield f"      {difference.where}: {difference.what}"
    if check.differences:
        yield f"      to do: {check.remedy}"
