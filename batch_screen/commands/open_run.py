"""Opens a job's run: locks its folders, finds or creates its state, refuses to pay twice."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from batch_screen.commands.parts import layout_of
from batch_screen.config.screening import OPT_OUT_FILE, Unfinished
from batch_screen.config.sections import Engine
from batch_screen.engine.budget import refuse_unpriced
from batch_screen.erasure.journal import note_pending
from batch_screen.errors import AuthenticationError, ConfigurationError, OutputError
from batch_screen.input.files import expand
from batch_screen.job import STATE, Job
from batch_screen.model import Plan
from batch_screen.numbers.regions import refuse_unknown_regions
from batch_screen.planning.build import InputFile, full_paths, on_disk, opt_outs
from batch_screen.planning.carry import drop_objected
from batch_screen.planning.opt_outs import OptOuts, holds_opt_outs
from batch_screen.planning.shards import check_plan, read_plan
from batch_screen.runs.events import RunEvents
from batch_screen.runs.finding import IsGrown, answered_runs, find_run, is_answered, unfinished_runs
from batch_screen.runs.folders import refuse_unfit
from batch_screen.runs.heartbeat import beating
from batch_screen.runs.layout import Layout, finish_exchanges
from batch_screen.runs.state import Identity, Run, create_run, new_run_id
from batch_screen.storage.atomic import check_writable, make_folder, sweep, translated
from batch_screen.storage.lock import locked
from batch_screen.storage.scratch import sweep_scratch
from batch_screen.tables.manifest import id_key_in, is_whole, read_manifest
from batch_screen.tables.summary import read_summary, says_stopped

if TYPE_CHECKING:
    from batch_screen.cluster.place import RunPlace
    from batch_screen.cluster.store import StateBucket


class OpenRun(NamedTuple):
    """An opened run, its input on disk and its output layout; ``events`` writes the heartbeat."""

    run: Run
    layout: Layout
    files: list[InputFile]
    events: RunEvents
    is_complete: bool
    place: RunPlace | None = None
    """The run's place in the bucket that keeps its state, if one does."""


@contextmanager
def open_run(job: Job, events: RunEvents) -> Iterator[OpenRun]:
    """Opens the run to resume, or a new one; holds the locks of state and output.

    Raises what is wrong with the job before anything is sent, and ``OutputError`` where what was
    paid for is gone: it would be bought again.
    """
    refuse_unaskable(job)
    refuse_other_ids(job)
    sources = expand(job.inputs, excluded=job.excluded, note=events.progress.note)
    with (
        folders_held(job, events) as with_heartbeat,
        on_disk(sources, job.state, with_heartbeat) as files,
        bucket_held(job, with_heartbeat) as bucket,
    ):
        with_heartbeat.progress.stage("reading")
        run = _resumed_or_new(job, files, with_heartbeat, bucket)
        yield opened(job, run, files, with_heartbeat, bucket)


@contextmanager
def bucket_held(job: Job, events: RunEvents) -> Iterator[StateBucket | None]:
    """The bucket that keeps the job's state, if one does, held and what it has restored here."""
    if not (address := job.settings.output.state_bucket):
        yield None
        return
    from batch_screen.cluster.store import held_state  # noqa: PLC0415 (for buckets only)

    with held_state(address, job.state, events) as bucket:
        bucket.restore(job.day.isoformat(), events)
        yield bucket


def refuse_unaskable(job: Job) -> None:
    """Raises what is wrong with the job whatever its list holds."""
    _refuse_unfit_for_ray(job)
    refuse_unpriced(job.settings)
    refuse_unknown_regions(job.settings)
    if job.key is None and not job.sandbox:
        raise AuthenticationError(
            "no API key was given, and no sandbox was asked for; set the job's key or sandbox"
        )


def _refuse_unfit_for_ray(job: Job) -> None:
    """Raises ``ConfigurationError`` where workers on other machines could not do the job."""
    settings = job.settings
    if settings.cluster.engine is not Engine.RAY:
        return
    if job.sandbox:
        raise ConfigurationError(
            "--sandbox serves this machine alone, and with --engine ray workers ask from others: "
            "leave out one of the two"
        )
    if urlsplit(settings.api.proxy).password:
        raise ConfigurationError(
            "api.proxy has a password, which would travel to the machines of the Ray cluster: set "
            "HTTPS_PROXY on each, and api.trust_environment_proxies"
        )
    if find_spec("ray") is None:
        raise ConfigurationError("--engine ray needs an extra: pip install 'batch-screen[ray]'")


def opened(
    job: Job,
    run: Run,
    files: list[InputFile],
    events: RunEvents,
    bucket: StateBucket | None = None,
) -> OpenRun:
    """The run, unless it would buy again what was bought. Raises ``OutputError``."""
    events.on_run(run.run_id)
    layout = layout_of(run, job.settings)
    is_complete = is_whole(layout)
    if is_complete and not run.plan.exists():  # its state was removed; it needs none
        run.discard()
    if not is_complete:
        _refuse_to_buy_again(job, run, layout)
    place = bucket.place(run.run_id) if bucket else None
    return OpenRun(run, layout, files, events, is_complete, place)


def refuse_other_ids(job: Job) -> None:
    """Raises ``ConfigurationError`` where the output folder is of other ids, or holds the vault.

    One folder with two kinds of ids would have two rows for one person, and nobody could compare.
    """
    if job.out_if_named is None:
        return
    own, found = job.ids.key_id if job.ids else None, id_key_in(job.out)
    if found is not None and found.id_key != own:
        has = _kind(found.id_key)
        raise ConfigurationError(
            f"{job.out} has runs with {has}, such as {found.run_id}, and this one would have "
            f"{_kind(own)}: one folder is of one kind; name another --out, or set ids and key back"
        )
    vault = job.settings.privacy.id_vault
    for folder in (job.out, job.state) if vault else ():
        if folder.resolve() in (Path(vault).resolve(), *Path(vault).resolve().parents):
            raise ConfigurationError(
                f"the vault {vault} lies in {folder}, where nobody may find the numbers of ids; "
                "name a folder elsewhere with --id-vault"
            )


def _kind(id_key: str | None) -> str:
    return f"ids of the key {id_key}" if id_key else "plain numbers"


@contextmanager
def folders_held(job: Job, events: RunEvents) -> Iterator[RunEvents]:
    """State and output are locked meanwhile; the events write the heartbeat too.

    Raises ``OutputError`` where another user may write to one of them.
    """
    sweep_scratch()
    if not job.settings.output.trust_folders:
        vaults = filter(None, [job.settings.privacy.id_vault])
        refuse_unfit((job.out, job.out / STATE, job.state, *map(Path, vaults)))
    with _locked(job):
        if vault := job.settings.privacy.id_vault:
            check_writable(make_folder(Path(vault)))
        check_writable(job.out)  # under the lock: who holds it sweeps the files of others away
        note_pending(job.out, events)
        with beating(events, job.state) as with_heartbeat:
            yield with_heartbeat


@contextmanager
def _locked(job: Job) -> Iterator[None]:
    """Locks state and output: two runs must not buy the same answers or write the same files."""
    with ExitStack() as held:
        for folder in dict.fromkeys((job.state, job.out / STATE)):
            held.enter_context(locked(make_folder(folder)))
        for folder in (job.out, job.state):
            sweep(folder)
        finish_exchanges(job.out)
        for leftover in job.state.glob("stdin-*.input"):  # of a process that was killed
            with translated("clear", leftover):
                leftover.unlink()
        for copies in job.state.glob("remote-*.input"):
            with translated("clear", copies):
                shutil.rmtree(copies)
        yield


def _resumed_or_new(
    job: Job, files: list[InputFile], events: RunEvents, bucket: StateBucket | None
) -> Run:
    identity, inputs = job.identity(files), full_paths(files)
    is_grown = grown_opt_outs(job, identity, events)

    def sought(state: Path) -> Run | None:
        found = find_run(state, identity, inputs, is_grown, job.out)
        return found or unfinished_run(job, identity, is_grown, state)

    found = None if job.new_run else find_run(job.state, identity, inputs, is_grown, job.out)
    own, how = new_run_id(identity, 1), None if job.new_run else sought
    damaged = bucket.pass_over(own, how, events) if bucket else []
    if found is not None:
        return resumed(job, found, identity, events)
    for other, differing in answered_runs(job.state, identity):
        events.progress.note(
            f"run {other.run_id} has answered this input for this date (differing: "
            f"{differing or 'nothing'}); a new run asks and pays for every lookup again"
        )
    if not job.new_run and (earlier := unfinished_run(job, identity, is_grown)):
        events.progress.note(
            f"run {earlier.run_id} of the same input is unfinished: it goes on, of "
            f"{earlier.file.identity.run_date} (screening.unfinished = "
            f'"{Unfinished.RESUME}"); today\'s run is the next start'
        )
        return resumed(job, earlier, identity, events)
    left = unfinished_runs(job.state, identity, is_grown, job.out, events.progress.note)
    for earlier in left:
        events.progress.note(
            f"run {earlier.run_id} of the same input is unfinished; "
            f"--run-date {earlier.file.identity.run_date} resumes it"
        )
    # Without --new-run a run that is complete in this folder is not run again, even where
    # its state was removed: it gets its old name back.
    taken = job.complete_runs() if job.new_run else []
    return create_run(job.state, identity, inputs, [*taken, *damaged])


def grown_opt_outs(job: Job, identity: Identity, events: RunEvents) -> IsGrown:
    """Whether the opt-out list of the job has grown since a run was planned."""

    def is_grown(run: Run) -> bool:
        plan = read_plan(run.plan)
        had_list = run.identity.settings.get(OPT_OUT_FILE)
        if plan is None or (had_list and not plan.opt_outs_sha256):
            return False  # planned by an earlier version, which kept nothing of the list
        return holds_opt_outs(run.plan, plan, opt_outs(job.settings, events, identity))

    return is_grown


def resumed(job: Job, run: Run, identity: Identity, events: RunEvents) -> Run:
    """The run, ready to go on, without who has objected since it was planned."""
    run.sweep()
    before = read_plan(run.plan)
    changed = plan_without_objected(job, run, identity, run.folder / "plan", events)
    if before and changed:
        events.progress.note(
            f"run {run.run_id} goes on with an opt-out list that has grown: "
            f"{changed.objected - before.objected:,} more numbers are left out, also those that "
            "were answered and paid for; their rows are rejected as opted_out"
        )
    return run


def plan_without_objected(
    job: Job, run: Run, identity: Identity, target: Path, events: RunEvents
) -> Plan | None:
    """The run's plan, written as ``target``, by the opt-out list of today; None: it is by that."""
    listed = identity.settings[OPT_OUT_FILE]
    plan = read_plan(run.plan) if run.identity.settings.get(OPT_OUT_FILE) != listed else None
    if plan is None:
        return None
    check_plan(run.plan, plan)
    numbers = opt_outs(job.settings, events, identity)
    return drop_objected(run.plan, plan, target, OptOuts(listed, numbers), events)


def unfinished_run(
    job: Job, identity: Identity, is_grown: IsGrown, state: Path | None = None
) -> Run | None:
    """The run of another date with which a start without one goes on, if there is any.

    Raises ``ConfigurationError`` where somebody is to decide: a new run pays again, and the old
    one leaves today without a run.
    """
    choice = job.settings.screening.unfinished
    is_left = choice is Unfinished.NEW and not job.is_attended
    if job.run_date is not None or is_left:
        return None
    found = unfinished_runs(state or job.state, identity, is_grown, job.out_if_named)
    if not found:
        return None
    latest = max(found, key=lambda run: (run.file.identity.run_date, run.file.created_at))
    if job.is_attended or choice is Unfinished.STOP:
        day = latest.file.identity.run_date
        raise ConfigurationError(
            f"run {latest.run_id} of the same input is unfinished, so choose: --run-date {day} "
            f"resumes it and asks nothing twice; --run-date {identity.run_date} begins another "
            "run, which asks and pays for every lookup again"
        )
    return latest


def _refuse_to_buy_again(job: Job, run: Run, layout: Layout) -> None:
    """Refuses to pay twice where a complete run's files are gone and its state is, too.

    One that was stopped goes on from its state; without it, everything would be paid for again.
    """
    summed_up = layout.summary.exists() and not says_stopped(layout.summary)
    was_answered = layout.is_marked or summed_up or layout.manifest.exists()
    manifest = read_manifest(layout)
    if manifest and manifest.erased:
        if not is_answered(run):
            run.discard()
        raise OutputError(
            f"run {run.run_id} was complete, and people were erased from it, but files of it in "
            f"{layout.folder} are gone or not whole; a state may hold those people, so it is not "
            "written anew: restore its files from a copy made after the erasure, or ask and pay "
            "again with --new-run"
        )
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
