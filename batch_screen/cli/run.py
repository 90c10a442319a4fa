"""``batch-screen run``: screens, or resumes, and shows what came out."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import click

from batch_screen.cli.options import job_of, job_options

if TYPE_CHECKING:
    from types import FrameType

    from batch_screen.watch import Stop

_FAILURES = 3


@click.command()
@job_options
def run(**options: Any) -> int:
    """Screen the numbers in INPUT: files, folders, globs, or - for stdin.

    A second start of the same command goes on where the first one stopped and asks nothing
    twice. The API key is read from --api-key-file, BATCH_SCREEN_API_KEY_FILE, a systemd
    credential, or BATCH_SCREEN_API_KEY.
    """
    job = job_of(options, needs_key=True)

    from batch_screen.cli.render import closing_block  # noqa: PLC0415 (heavy)
    from batch_screen.cli.watching import watcher  # noqa: PLC0415
    from batch_screen.pipeline import screen  # noqa: PLC0415
    from batch_screen.watch import Stop, Watch  # noqa: PLC0415

    stop = Stop()
    _obey_signals(stop)
    with watcher(job.settings.output.heartbeat_seconds) as progress:
        screened = screen(job, Watch(progress, stop))
    _show(closing_block(screened, job.settings))
    failed = screened.summary.failure_share > job.settings.guards.max_failure_share
    return _FAILURES if failed else 0


def _show(block: str) -> None:
    """Prints the block; a reader that has gone away does not make a finished run a failure."""
    try:
        click.echo(block)
        sys.stdout.flush()
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 (until the very end)


def _obey_signals(stop: Stop) -> None:
    """The first signal drains and saves, the second leaves at once; both can be resumed."""

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        if stop.is_requested:
            os._exit(128 + number)
        os.write(2, b"\nstopping: waiting for answers under way; once more to leave at once\n")
        stop.request(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
