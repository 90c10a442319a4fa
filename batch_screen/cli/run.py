"""``batch-screen run``: screens, or resumes, and shows what came out."""

from __future__ import annotations

import os
import signal
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from batch_screen.cli import log
from batch_screen.cli.options import job_of, job_options, settings_of
from batch_screen.errors import SIGNAL_EXIT

if TYPE_CHECKING:
    from types import FrameType

    from batch_screen.runs.events import CancelToken

_ONE_SIGNAL_SECONDS = 0.5
"""What comes so soon after the first signal is the same wish once more."""
_STOPPING = "stopping: waiting for answers under way; once more to leave at once"


@click.command()
@job_options
@click.option(
    "--fail-if",
    metavar="EXPR",
    multiple=True,
    help="Exit with 3 if a figure of the complete run crosses this: 'failure_rate > 1%', "
    "'rows_change < -20%'; repeatable.",
)
@click.option(
    "--log-format",
    type=click.Choice(log.FORMATS),
    help="What stderr gets; auto: text on a terminal, else JSON lines.  [default: auto]",
)
@click.option("--metrics-file", metavar="FILE", help="Write figures for Prometheus to this file.")
@click.option(
    "--summary-file", metavar="FILE", help="Write to this JSON file how the start ended, always."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON in place of the closing block.")
def run(*, as_json: bool, **options: Any) -> int:
    """Screen the numbers in INPUT: files, folders, globs, or - for stdin.

    A second start of the same command goes on where the first one stopped and asks nothing
    twice. The API key is read from --api-key-file, BATCH_SCREEN_API_KEY_FILE, a systemd
    credential, or BATCH_SCREEN_API_KEY.
    """
    settings = settings_of(options)
    log.choose(settings.logging.format)

    from batch_screen.cli.progress import watcher  # noqa: PLC0415
    from batch_screen.cli.session import SessionConsole  # noqa: PLC0415 (heavy)
    from batch_screen.commands.run import run as run_job  # noqa: PLC0415
    from batch_screen.runs.events import CancelToken, RunEvents  # noqa: PLC0415

    stop, start = CancelToken(), SessionConsole(settings, as_json=as_json)
    _obey_signals(stop)
    with start.told():
        job = job_of(options, needs_key=True, settings=settings)
        start.run_date = job.day.isoformat()
        with watcher(settings.output.heartbeat_seconds) as progress:
            watch = RunEvents(start.stages.pass_to(progress), stop, start.belong_to)
            start.screened = screened = run_job(job, watch, start.stop_at)
    return screened.summary.exit_code


def _obey_signals(stop: CancelToken) -> None:
    """The first signal drains and saves, the second leaves at once; both can be resumed.

    A terminal that closes (SIGHUP) counts as SIGTERM. It may say so twice, so it never makes
    the run leave at once; under nohup it is not heard at all. Others may say it twice as well:
    ``timeout`` sends its signal to the command and again to the whole group.
    """
    first_at = 0.0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal first_at
        del frame
        if not stop.is_requested:
            first_at = monotonic()
            stop.request(signal.SIGTERM if number == signal.SIGHUP else number)
            log.shout(_STOPPING)
        elif number != signal.SIGHUP and monotonic() - first_at > _ONE_SIGNAL_SECONDS:
            os._exit(SIGNAL_EXIT + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, handle)
