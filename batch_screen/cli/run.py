"""``batch-screen run``: screens, or resumes, and shows what came out."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from batch_screen.cli.options import job_of, job_options
from batch_screen.cli.show import show
from batch_screen.errors import BatchScreenError
from batch_screen.exit_codes import SIGNAL_EXIT, ExitCode

if TYPE_CHECKING:
    from types import FrameType

    from batch_screen.watch import Stop

_STOPPING = b"\nstopping: waiting for answers under way; once more to leave at once\n"


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
    from batch_screen.pipeline import Screened, screen  # noqa: PLC0415
    from batch_screen.watch import Stop, Watch  # noqa: PLC0415

    stop = Stop()
    _obey_signals(stop)
    stopped: list[Screened] = []
    try:
        with watcher(job.settings.output.heartbeat_seconds) as progress:
            screened = screen(job, Watch(progress, stop), stopped.append)
    except BatchScreenError:
        for half_way in stopped:
            show(closing_block(half_way, job.settings))
        raise
    show(closing_block(screened, job.settings))
    failed = screened.summary.failure_share > job.settings.guards.max_failure_share
    return ExitCode.FAILURES if failed else ExitCode.COMPLETE


def _obey_signals(stop: Stop) -> None:
    """The first signal drains and saves, the second leaves at once; both can be resumed.

    A terminal that closes (SIGHUP) counts as SIGTERM. It may say so twice, so it never makes
    the run leave at once; under nohup it is not heard at all.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        if not stop.is_requested:
            stop.request(signal.SIGTERM if number == signal.SIGHUP else number)
            with suppress(OSError):  # whoever reads stderr may have got the signal as well
                os.write(2, _STOPPING)
        elif number != signal.SIGHUP:
            os._exit(SIGNAL_EXIT + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, handle)
