"""``batch-screen status``: what runs, what can be resumed and how, and what is complete."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batch_screen.cli.console import show, show_json
from batch_screen.cli.options import flags_of, folder_options

if TYPE_CHECKING:
    from batch_screen.cli.status_block import Resuming
    from batch_screen.commands.status import Status


@click.command()
@folder_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(*, as_json: bool, **options: Any) -> None:
    """Show where the runs of a folder stand, and how to go on with those that stopped.

    Only reads, takes no lock and needs no key: it may be asked at any time.
    """
    from batch_screen.config.load import load_settings  # noqa: PLC0415 (heavy)

    config: Path | None = options["config"]
    settings = load_settings(flags_of(options), config=config, environment=os.environ)

    from batch_screen.cli.status_block import resuming, status_block  # noqa: PLC0415
    from batch_screen.commands.status import State  # noqa: PLC0415
    from batch_screen.commands.status import status as status_of  # noqa: PLC0415
    from batch_screen.job import Job  # noqa: PLC0415

    out = Path(settings.output.folder) if settings.output.folder else None
    found = status_of(out, Job((), settings).state)
    how = {
        run.run_id: resuming(run, settings, config)
        for run in found.runs
        if run.state is State.RESUMABLE
    }
    if as_json:
        show_json(_json(found, how))
    else:
        show(status_block(found, how))


def _json(found: Status, how: dict[str, Resuming]) -> str:
    """As it is, but for the settings: what they say is in the command."""
    import msgspec  # noqa: PLC0415

    from batch_screen.masking import mask_text  # noqa: PLC0415

    told = msgspec.to_builtins(found)
    for run in told["runs"]:
        del run["settings"]
        resume = how.get(run["run_id"])
        run["resume"] = mask_text(resume.command) if resume else None
        run["resume_besides"] = resume.besides if resume else ""
    under_way = found.under_way
    told["seconds_left"] = under_way.seconds_left if under_way else None
    told["is_stalled"] = found.is_stalled
    told["holder"] = found.holder._asdict() if found.holder else None
    return msgspec.json.format(msgspec.json.encode(told)).decode()
