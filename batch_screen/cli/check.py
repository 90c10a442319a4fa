"""``batch-screen check``: what a list holds before any money is spent; sends nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from batch_screen.cli.console import show, show_json, unwind_on_signals
from batch_screen.cli.options import job_of, list_options
from batch_screen.errors import InputError


@click.command()
@list_options
@click.option(
    "--rejects",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write the rejected rows, masked, to this .csv or .parquet file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(*, rejects: Path | None, as_json: bool, **options: Any) -> None:
    """Show what INPUT holds, what is wrong with it, and what to fix first.

    Sends nothing, needs no key and changes no state. Rejected rows are no failure; the exit code
    is 65 where not one row is usable.
    """
    job = job_of(options, needs_key=False)

    import msgspec  # noqa: PLC0415

    from batch_screen.cli.check_block import check_block  # noqa: PLC0415
    from batch_screen.cli.progress import watcher  # noqa: PLC0415
    from batch_screen.commands.check import check as check_list  # noqa: PLC0415 (heavy)
    from batch_screen.runs.events import RunEvents  # noqa: PLC0415

    unwind_on_signals()
    with watcher(job.settings.output.heartbeat_seconds) as progress:
        found = check_list(job, RunEvents(progress), rejects=rejects)
    if as_json:
        show_json(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        show(check_block(found, rejects))
    if not found.accepted:
        raise InputError(
            f"none of the {found.rows:,} rows holds a usable number; the report above says what "
            "to fix first"
        )
