"""``batch-screen purge``: removes what old runs left behind, after saying what that is."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batch_screen.cli.console import show, show_json, tell
from batch_screen.cli.options import flags_of, folder_options
from batch_screen.cli.text import labelled

if TYPE_CHECKING:
    from batch_screen.commands.purge import Purge, PurgeItem

_AGE = re.compile(r"(\d{1,5})d", re.ASCII)
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024


def _days(_context: click.Context, _option: click.Parameter, value: str) -> int:
    if not (match := _AGE.fullmatch(value)):
        raise click.BadParameter("must be a number of days such as 90d")
    return int(match[1])


@click.command()
@folder_options
@click.option(
    "--older-than",
    metavar="DAYS",
    required=True,
    callback=_days,
    help="Runs whose run date lies more than so many days back: 90d.",
)
@click.option("--state-only", is_flag=True, help="Keep the outputs.")
@click.option("--outputs-only", is_flag=True, help="Keep the state.")
@click.option("--unfinished", is_flag=True, help="Also runs that could still be resumed.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and leave it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def purge(
    *,
    older_than: int,
    state_only: bool,
    outputs_only: bool,
    unfinished: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Remove state and outputs of runs older than so many days, after saying what that is.

    Removes only files that runs wrote, follows no links, and never while a run is going on. What
    is gone cannot be compared with, resumed or used again: the same list asked about for the same
    date would be a new run, and paid for.
    """
    if state_only and outputs_only:
        raise click.UsageError("--state-only and --outputs-only exclude each other; use one")

    from batch_screen.commands import purge as purging  # noqa: PLC0415
    from batch_screen.config.load import load_settings  # noqa: PLC0415 (heavy)
    from batch_screen.job import STATE, Job  # noqa: PLC0415

    settings = load_settings(flags_of(options), config=options["config"], environment=os.environ)
    out = Path(settings.output.folder) if settings.output.folder else None
    state = Job((), settings).state
    wanted = purging.PurgeScope(
        out, state, _before(older_than), not state_only, not outputs_only, unfinished
    )
    found = purging.look(wanted)
    if not as_json:
        show(_block(found))
    is_carried_out = not found.is_empty and not dry_run and _is_confirmed(found, yes=yes)
    if is_carried_out:
        locks = [state] if out is None else [state, out / STATE]
        found = purging.purge(wanted, locks)
    if as_json:
        show_json(_json(found, is_carried_out=is_carried_out))
    elif is_carried_out:
        show(f"removed {found.files:,} files of {_runs(found)}")


def _before(days: int) -> date:
    try:
        return datetime.now(UTC).date() - timedelta(days=days)
    except OverflowError:
        return date.min


def _is_confirmed(found: Purge, *, yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        raise click.UsageError(
            "there is no terminal to ask on: look with --dry-run, then use --yes"
        )
    if click.confirm(f"Remove {found.files:,} files of {_runs(found)}?", err=True):
        return True
    tell("nothing was removed")
    return False


def _runs(found: Purge) -> str:
    return f"{len(found.runs):,} run{'s' if len(found.runs) != 1 else ''}"


def _block(found: Purge) -> str:
    return "\n".join(_lines(found))


def _lines(found: Purge) -> Iterator[str]:
    size = _size(found.bytes)
    yield f"purge: {_runs(found)} dated before {found.before}, {found.files:,} files, {size}"
    yield ""
    for run in found.runs:
        yield _line(run)
        if run.strangers:
            yield from labelled("stays", f"not batch-screen's: {', '.join(run.strangers)}")
    if found.leftovers:
        yield from labelled("leftovers", f"{found.leftovers:,} states of a purge that was killed")
    if found.unfinished:
        names = ", ".join(found.unfinished)
        yield from labelled("unfinished", f"left as they are, --unfinished takes them: {names}")
    if found.latest:
        yield from labelled("latest.json", f"will name run {found.latest}")
    elif found.latest is not None:
        yield from labelled("latest.json", "will go: no complete run stays")


def _line(run: PurgeItem) -> str:
    return (
        f"  {run.run_id}  {len(run.outputs):,} files of output, {len(run.state):,} of state, "
        f"{_size(run.bytes)}"
    )


def _size(count: int) -> str:
    """Bytes in the unit that suits them.

    >>> _size(12), _size(123_456), _size(5 << 30)
    ('12 B', '120.6 KiB', '5.0 GiB')
    """
    size, unit = float(count), 0
    while size >= _STEP and unit < len(_UNITS) - 1:
        size, unit = size / _STEP, unit + 1
    return f"{size:.1f} {_UNITS[unit]}" if unit else f"{count} B"


def _json(found: Purge, *, is_carried_out: bool) -> str:
    import msgspec  # noqa: PLC0415

    from batch_screen.masking import mask_text  # noqa: PLC0415

    def text(value: Any) -> str:
        return mask_text(str(value))

    told = {"removed": is_carried_out, "files": found.files, "bytes": found.bytes}
    told |= msgspec.to_builtins(found, enc_hook=text)
    return msgspec.json.format(msgspec.json.encode(told)).decode()
