"""The line: read → normalise → plan → ask → enrich → report.

Every output file is a pure function of (input, plan, journal); asking only appends to the
journal. So a resume is the same line again, which finds its work done up to some point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from batch_screen.commands.write import (
    count_stopped,
    judge_run,
    layout_of,
    write_outputs,
    write_stopped,
)
from batch_screen.config.settings import Settings
from batch_screen.engine.budget import refuse_unpriced
from batch_screen.engine.engine import Asked, run_engine
from batch_screen.engine.tasks import Clock, utc_now
from batch_screen.errors import (
    AuthenticationError,
    BatchScreenError,
    ConfigurationError,
    InputError,
    OutputError,
)
from batch_screen.input.files import expand
from batch_screen.job import STATE, Job
from batch_screen.model import Plan, Session
from batch_screen.numbers.restrict import refuse_unknown_regions
from batch_screen.planning.build import Source, full_paths, on_disk, plan_inputs
from batch_screen.planning.shards import check_plan, read_plan
from batch_screen.runs.events import RunEvents
from batch_screen.runs.heartbeat import HeartbeatWriter
from batch_screen.runs.layout import Layout
from batch_screen.runs.sessions import keep_session, read_sessions
from batch_screen.runs.state import (
    Identity,
    Run,
    answered_runs,
    create_run,
    find_run,
    is_answered,
    unfinished_runs,
)
from batch_screen.sandbox.config import DEFAULT_KEY, SandboxConfig
from batch_screen.sandbox.run import running
from batch_screen.storage.atomic import check_writable, make_folder, sweep, translated
from batch_screen.storage.lock import locked
from batch_screen.tables.manifest import is_whole
from batch_screen.tables.summary import Summary, read_summary, says_stopped


class RunResult(msgspec.Struct, frozen=True):
    """A run that has ended: its figures, where its files are, and whether it had ended before."""

    summary: Summary
    layout: Layout
    was_complete: bool = False


class _Session(NamedTuple):
    """One start of a run."""

    job: Job
    run: Run
    plan: Plan
    started_at: datetime
    ended: list[Session]
    """What it did, once it has asked."""


OnStopped = Callable[[RunResult], None]


def run(
    job: Job, watch: RunEvents | None = None, on_stopped: OnStopped = lambda _: None
) -> RunResult:
    """Screens the inputs, or resumes, or says that it was done already.

    Raises the exceptions of ``errors``; whatever was answered by then is saved. Where there was
    a plan already, ``on_stopped`` is first told how far the run has come.
    """
    watch = watch or RunEvents()
    started_at = datetime.now(UTC)
    refuse_unpriced(job.settings)
    refuse_unknown_regions(job.settings.numbers)
    if job.key is None and not job.sandbox:
        raise AuthenticationError(
            "no API key was given, and no sandbox was asked for; set the job's key or sandbox"
        )
    sources = expand(job.inputs, apart=job.apart)
    check_writable(job.out)
    with (
        _locked(job),
        _telling(job, watch) as watch,
        on_disk(sources, job.state, watch) as files,
    ):
        watch.progress.stage("reading")
        run = _run(job, job.identity(files), full_paths(files), watch)
        watch.on_run(run.run_id)
        layout = layout_of(run, job.settings)
        if is_whole(layout):
            if not run.plan.exists():  # its state was removed; it needs none
                run.discard()
            judged = judge_run(read_summary(layout.summary), job.settings)
            return RunResult(judged, layout, was_complete=True)
        _refuse_to_buy_again(job, run, layout)
        plan = _plan(job, run, files, watch)
        start = _Session(job, run, plan, started_at, ended=[])
        with _summed_up(start, watch, on_stopped):
            read_sessions(run.starts, run.run_id)  # damage is told before anything more is bought
            layout.check_writable()
            watch.progress.note(
                f"run {run.run_id}; if it is stopped, the same command resumes it without "
                f"--new-run and with --run-date {layout.run_date}"
            )
            session = _ask(start, watch)
            watch.progress.stage("writing", total=len(plan.shards))
            summary = write_outputs(run, plan, job.settings, session, watch)
    return RunResult(summary, layout)


@contextmanager
def _summed_up(start: _Session, watch: RunEvents, on_stopped: OnStopped) -> Iterator[None]:
    """Whatever ends the start, how far the run has come is counted, written and told.

    What fails while doing so is told and goes no further: the error that ended the start does.
    """
    try:
        yield
    except Exception as error:
        unwritten = f"run {start.run.run_id}: its summary.json could not be written"
        with _told(watch, unwritten):
            summary = _count_stopped(start, error)
            with _told(watch, unwritten):
                write_stopped(start.run, start.job.settings, summary)
            on_stopped(RunResult(summary, layout_of(start.run, start.job.settings)))
        raise


@contextmanager
def _told(watch: RunEvents, what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 (something worse has ended the start)
        with suppress(Exception):
            watch.progress.note(f"{what}: {error}")


def _count_stopped(start: _Session, error: Exception) -> Summary:
    session = start.ended[0] if start.ended else Session(start.started_at, datetime.now(UTC))
    return count_stopped(start.run, start.plan, start.job.settings, session, error)


@contextmanager
def _locked(job: Job) -> Iterator[None]:
    """Holds state and output: two runs must neither buy the same nor write the same files."""
    with ExitStack() as held:
        for folder in dict.fromkeys((job.state, job.out / STATE)):
            held.enter_context(locked(make_folder(folder)))
        for folder in (job.out, job.state):
            sweep(folder)
        for leftover in job.state.glob("stdin-*.input"):  # of a process that was killed
            with translated("clear", leftover):
                leftover.unlink()
        yield


@contextmanager
def _telling(job: Job, watch: RunEvents) -> Iterator[RunEvents]:
    """The watch, of which others can read how far it has come: see ``run.heartbeat``."""
    telling = HeartbeatWriter(watch.progress, job.state)

    def on_run(run_id: str) -> None:
        watch.on_run(run_id)
        telling.identify(run_id)

    try:
        yield RunEvents(telling, watch.stop, on_run)
    finally:
        telling.end()


def _run(job: Job, identity: Identity, inputs: list[str], watch: RunEvents) -> Run:
    """The run to go on with, or a new one."""
    run = None if job.new_run else find_run(job.state, identity, inputs)
    if run is None:
        return _new_run(job, identity, inputs, watch)
    run.sweep()
    return run


def _new_run(job: Job, identity: Identity, inputs: list[str], watch: RunEvents) -> Run:
    for other, differing in answered_runs(job.state, identity):
        watch.progress.note(
            f"run {other.run_id} has answered this input for this date (differing: "
            f"{differing or 'nothing'}); a new run asks and pays for every lookup again"
        )
    for earlier in unfinished_runs(job.state, identity):
        watch.progress.note(
            f"run {earlier.run_id} of the same input is unfinished; "
            f"--run-date {earlier.file.identity.run_date} resumes it"
        )
    # Without --new-run a run that is complete in this folder is not run again, even where
    # its state was removed: it gets its old name back.
    taken = job.complete_runs() if job.new_run else []
    return create_run(job.state, identity, inputs, taken)


def _refuse_to_buy_again(job: Job, run: Run, layout: Layout) -> None:
    """A complete run whose files are gone is written again from its state, if that is there.

    One that was stopped goes on from its state; without it, everything would be paid for again.
    """
    summed_up = layout.summary.exists() and not says_stopped(layout.summary)
    was_answered = layout.marker.exists() or summed_up or layout.manifest.exists()
    if was_answered and not is_answered(run):
        run.discard()
        raise OutputError(
            f"run {run.run_id} was complete, but files of it in {layout.folder} and its state in "
            f"{run.folder} are gone or not whole; restore them, or ask and pay again with --new-run"
        )
    was_stopped = layout.summary.exists() and not was_answered
    if was_stopped and not run.has_asked and not job.new_run:
        stopped = read_summary(layout.summary)
        if any(session.attempts for session in (*stopped.starts, stopped.session)):
            run.discard()
            raise OutputError(
                f"run {run.run_id} was stopped after it had asked, as {layout.summary} says, but "
                f"its state in {run.folder} is gone; restore it or name its --state-dir, or ask "
                "and pay again with --new-run"
            )


def _plan(job: Job, run: Run, files: list[Source], watch: RunEvents) -> Plan:
    plan = read_plan(run.plan)
    if plan is not None:  # damage is told before anything more is bought
        with watch.stop.interrupting():
            check_plan(run.plan, plan)
        return plan
    try:
        return plan_inputs(files, job.settings, run.plan, watch, run.file.identity, now=job.now)
    except (InputError, ConfigurationError):
        run.discard()
        raise


@contextmanager
def _server(job: Job, run: Run) -> Iterator[tuple[Settings, str, Clock]]:
    """The settings, key and clock to ask with; with ``sandbox`` the local server runs meanwhile.

    What it tells is as of the run's beginning, which is midnight where that was on another day
    than the run is of: the clock is set back, or forward, by that.
    """
    if not job.sandbox:
        yield job.settings, job.key.get_secret_value() if job.key else "", utc_now
        return
    created_at = run.file.created_at
    began = created_at if created_at.date() == job.day else job.midnight
    config = SandboxConfig(now=began, dialect=job.settings.api.dialect)
    with running(config) as url:
        # The sandbox lives at the dialect's own paths; others are meant for another server.
        api = job.settings.api.model_copy(update={"base_url": url, "paths": {}, "proxy": ""})
        settings = job.settings.model_copy(update={"api": api})
        yield settings, DEFAULT_KEY, lambda: utc_now() + (began - created_at)


def _ask(start: _Session, watch: RunEvents) -> Session:
    """Asks what has no outcome yet. What this start did is kept, also where it was stopped."""
    job, run, plan = start.job, start.run, start.plan

    def end(asked: Asked) -> None:
        start.ended.append(_session(start.started_at, asked))

    try:
        with _server(job, run) as (settings, key, clock):
            run_engine(
                run,
                plan,
                settings,
                key,
                watch,
                began_at=start.started_at,
                on_end=end,
                clock=clock,
            )
    except BatchScreenError:
        with suppress(Exception):  # whatever fails now, what stopped the run is told
            for session in start.ended:
                _keep(run, session)
        raise
    [session] = start.ended
    _keep(run, session)
    return session


def _keep(run: Run, session: Session) -> None:
    if session.attempts:  # a start that only writes files again has no pace
        keep_session(run.starts, run.run_id, session)


def _session(started_at: datetime, asked: Asked) -> Session:
    return Session(
        started_at=started_at,
        ended_at=datetime.now(UTC),
        attempts=asked.attempts,
        asking_seconds=round(asked.seconds, 3),
        pace=asked.pace,
    )
