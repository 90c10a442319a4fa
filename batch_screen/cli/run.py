"""``batch-screen run``: screens or resumes, and reports how the session ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Any

import msgspec

import batch_screen
from batch_screen.cli import log
from batch_screen.cli.console import has_lost_output, print_json, print_text
from batch_screen.cli.hooks import unforeseen
from batch_screen.cli.options import job_of
from batch_screen.cli.progress import watcher
from batch_screen.cli.run_block import closing_block, crossed
from batch_screen.commands.run import RunResult
from batch_screen.config.settings import Settings
from batch_screen.errors import SIGNAL_EXIT, BatchScreenError, ExitCode, exit_code_of
from batch_screen.job import Job
from batch_screen.masking import safe_line
from batch_screen.notify.announce import (
    Lineage,
    announce_begin,
    announce_end,
    check_destinations,
)
from batch_screen.notify.closing import Closing, StageTimes, document
from batch_screen.runs.events import CancelToken, RunEvents
from batch_screen.tables.summary import Ending

_CAUSE_CHARACTERS = 4_000
_ONE_SIGNAL_SECONDS = 0.5
"""A second signal within so many seconds is the first one, sent twice."""
_STOPPING = "stopping: waiting for answers under way; once more to exit at once"


def run(*, settings: Settings, as_json: bool, **options: Any) -> int:
    """Screens, prints the closing block, and returns the exit code."""
    log.choose(settings.logging.format)
    stop, session = CancelToken(), SessionConsole("run", settings, as_json=as_json)
    obey_signals(stop)
    with session.reported():
        job = job_of(options, settings, needs_key=True)
        session.run_date = job.day.isoformat()
        session.reads(job, job.inputs)
        with watcher(settings.output.heartbeat_seconds) as progress:
            events = RunEvents(session.stages.pass_to(progress), stop, session.name_run)
            session.result = result = batch_screen.run(job, events, session.stop_at)
    return session.exit_code(result.summary.exit_code)


def obey_signals(stop: CancelToken) -> None:
    """The first signal stops and saves, the second exits at once; both can be resumed.

    A terminal that closes (SIGHUP) counts as SIGTERM. It may say so twice, so it never makes
    the run leave at once; under nohup it is ignored. Others may send theirs twice as well:
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


class SessionConsole:
    """The facts of a session, for the closing block and the notifications."""

    def __init__(self, command: str, settings: Settings, *, as_json: bool) -> None:
        self._settings = settings
        self._lineage = Lineage(command, settings, os.environ)
        self._as_json = as_json
        self._started_at = datetime.now(UTC)
        self._run_id = ""
        self.run_date = ""
        self._folders = Path(), Path()
        self._inputs: Sequence[str | Path] = ()
        self.stages = StageTimes()
        self._lacks_file = False
        self.result: RunResult | None = None
        """The run's progress, once it is counted."""

    def reads(self, job: Job, inputs: Sequence[str | Path]) -> None:
        """Says what the job's run will read, as it was named."""
        self._folders, self._inputs = (job.out, job.state), inputs

    def name_run(self, run_id: str) -> None:
        self._run_id = run_id
        log.name_run(run_id)
        _warn(self._lineage.begun(run_id, *self._folders, self._inputs))

    def exit_code(self, of_run: int) -> int:
        """That of a start whose run has this one: a file that somebody waits for may lack."""
        return ExitCode.CANNOT_WRITE if self._lacks_file and not of_run else of_run

    def stop_at(self, result: RunResult) -> None:
        self.result = result

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Sends notifications and prints the closing block, also after an error."""
        try:
            check_destinations(self._settings)
            _warn(announce_begin(self._settings))
            yield
        except BaseException as error:
            self._end(error)
            raise
        closing = self._end(None)
        if log.is_json() and (summary := closing.summary):  # in text the block says it all
            log.event(
                "finished",
                exit_code=self.exit_code(closing.exit_code),
                rows=summary.rows.read,
                rejected=summary.rows.rejected,
                lookups=summary.lookups,
                failed=summary.failed,
                crossed=crossed(summary),
                seconds=round((closing.ended_at - closing.started_at).total_seconds(), 1),
            )

    def _end(self, error: BaseException | None) -> Closing:
        summary = self.result.summary if self.result else None
        done = summary.exit_code if summary else 0
        stopped = None
        if error:
            cause = str(error) if isinstance(error, BatchScreenError) else unforeseen(error)
            stopped = Ending.of(error, safe_line(cause, _CAUSE_CHARACTERS))
        closing = Closing(
            started_at=self._started_at,
            ended_at=datetime.now(UTC),
            exit_code=exit_code_of(error) if error else done,
            stage_seconds=self.stages.seconds,
            run_id=self._run_id,
            run_date=summary.run_date if summary else self.run_date,
            stopped=stopped,
            summary=summary,
            layout=self.result.layout if self.result else None,
        )
        try:
            if self._as_json:
                print_json(msgspec.Raw(document(closing)))
            elif self.result:
                print_text(closing_block(self.result, self._settings), is_spare=True)
        finally:
            if has_lost_output():
                closing = closing.lacking_output()
            announced = announce_end(self._settings, closing)
            _warn(announced.warnings)
            was_complete = self.result is not None and self.result.was_complete
            _warn(self._lineage.ended(closing, was_complete=was_complete))
            self._lacks_file = announced.lacks_file
        return closing


def _warn(warnings: Iterable[str]) -> None:
    for each in warnings:
        log.warning(each)
