"""``batch-screen retry``: asks the failed lookups of a complete run again."""

from __future__ import annotations

from typing import Any

import batch_screen
from batch_screen.cli import log
from batch_screen.cli.console import print_text
from batch_screen.cli.options import job_of
from batch_screen.cli.progress import watcher
from batch_screen.cli.run import SessionConsole, obey_signals
from batch_screen.commands.retry import is_of_sandbox, located
from batch_screen.config.settings import Settings
from batch_screen.model import OutcomeKind
from batch_screen.runs.events import CancelToken, RunEvents
from batch_screen.runs.layout import LOOKUPS
from batch_screen.tables.errors import RETRY_CAN_HELP

_NOTHING = "nothing to retry: no lookup of the run ended with {}"


def retry(
    *,
    settings: Settings,
    run: str | None,
    outcomes: tuple[OutcomeKind, ...],
    as_json: bool,
    **options: Any,
) -> int:
    """Asks again, prints the closing block, and returns the exit code."""
    log.choose(settings.logging.format)
    stop, session = CancelToken(), SessionConsole("retry", settings, as_json=as_json)
    chosen = outcomes or tuple(kind for kind in OutcomeKind if kind in RETRY_CAN_HELP)
    obey_signals(stop)
    with session.reported():
        needs_key = not is_of_sandbox(job_of(options, settings), run)
        job = job_of(options, settings, needs_key=needs_key)
        there, _ = located(job, run)  # the run may name the output folder
        session.reads(there, [there.out / LOOKUPS])
        with watcher(settings.output.heartbeat_seconds) as progress:
            events = RunEvents(session.stages.pass_to(progress), stop, session.name_run)
            session.result = batch_screen.retry(job, run, chosen, events, session.stop_at)
    if session.result is None and not as_json:
        print_text(_NOTHING.format(", ".join(chosen)))
    return session.exit_code(session.result.summary.exit_code if session.result else 0)
