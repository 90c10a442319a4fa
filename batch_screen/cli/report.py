"""``batch-screen report``: one page of HTML about a run, from what it left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from batch_screen.cli.console import show, show_json
from batch_screen.masking import mask_text

if TYPE_CHECKING:
    from batch_screen.commands.report import ReportResult

_HEARTBEAT_SECONDS = 30.0


@click.command()
@click.argument("run", metavar="RUN")
@click.option("--out", metavar="DIR", help="The output folder, if RUN is the id of a run in it.")
@click.option("--run", "run_id", metavar="RUN_ID", help="The run, if not the latest.")
@click.option(
    "--write", "path", metavar="FILE", help="Where to write it, if not into the run's own folder."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: the counts, and the file.")
def report(
    *, run: str, out: str | None, run_id: str | None, path: str | None, as_json: bool
) -> None:
    """Write one page of HTML about a run: what it found, what failed, how it went.

    RUN is an output folder, whose latest run is taken, or a run's own, OUT/runs/RUN_ID. Every
    complete run has its page already, runs/RUN_ID/report.html; of a run that was stopped this
    tells how far it came. The page needs no network and holds no whole number.
    """
    if out and run_id:
        raise click.UsageError("--out and --run exclude each other; give one of them")

    from batch_screen.cli.progress import watcher  # noqa: PLC0415
    from batch_screen.commands.report import report as report_on  # noqa: PLC0415 (heavy)
    from batch_screen.runs.events import RunEvents  # noqa: PLC0415

    folder, wanted = (out, run) if out else (run, run_id)
    with watcher(_HEARTBEAT_SECONDS) as progress:
        written = report_on(folder, wanted, path, RunEvents(progress))
    if as_json:
        show_json(_json(written))
    else:
        show(f"run {written.run_id} · {written.verdict}\n{written.path}")


def _json(written: ReportResult) -> str:
    """The only text in it that is not ours is the path."""
    import msgspec  # noqa: PLC0415

    told = {**msgspec.to_builtins(written), "path": mask_text(written.path)}
    return msgspec.json.format(msgspec.json.encode(told)).decode()
