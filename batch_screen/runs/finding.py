"""Which run a start resumes, and when it must not: paid answers are not bought again by mistake."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from batch_screen.config.screening import OPT_OUT_FILE
from batch_screen.errors import ConfigurationError
from batch_screen.runs.layout import is_run_id, layout_of_run
from batch_screen.runs.state import RETRY_OF, Identity, Run, noting_damage, read_run, run_folders

IsGrown = Callable[[Run], bool]
"""Whether the opt-out list of today holds all of that by which a run's plan was made."""

_FIVE_DIGITS = "[0-9]" * 5  # what a copy or another program leaves beside them has other names


def find_run(
    state_folder: Path,
    identity: Identity,
    inputs: Sequence[str],
    is_grown: IsGrown = lambda _: False,
    out: Path | None = None,
) -> Run | None:
    """The latest run of this identity, to be resumed, or one with a shorter opt-out list.

    Raises ``ConfigurationError`` if instead an unfinished run of the same date was begun with
    other settings or other content of the same file: its answers must not be bought again by
    mistake. ``out`` is where runs write.
    """
    same_day = _runs_of_day(state_folder, identity.run_date)
    same_list = [run for run in same_day if run.file.identity.content == identity.content]
    same = [run for run in same_list if run.identity.work == identity.work]
    same = same or [run for run in same_list if _is_left(run, identity, is_grown, out)]
    if same:
        # --new-run begins another of the same identity; the earlier ones stay as they are.
        return max(same, key=lambda run: run.file.created_at)
    for other in same_day:
        differing = _differing_work(other, identity, inputs)
        if differing and other.has_bought and not is_over(other, out):
            if RETRY_OF in identity.settings:
                raise ConfigurationError(
                    f"run {other.run_id} is unfinished and {differing} to resume it; once it is "
                    "complete, it can be retried in other ways"
                )
            raise ConfigurationError(
                f"run {other.run_id} is unfinished and {differing} to resume it, or use --new-run "
                "to start afresh and pay again"
            )
    return None


def _differing_work(other: Run, identity: Identity, inputs: Sequence[str]) -> str:
    """Why the other run cannot be resumed, with the remedy; empty if it is unrelated."""
    if other.file.identity.content == identity.content:
        differing = _differing(other, identity)
        # Its plan may hold people who have objected since.
        if other.identity.settings.get(OPT_OUT_FILE) != identity.settings.get(OPT_OUT_FILE):
            return (
                f"was begun with another opt-out list ({differing}), by which it would ask people "
                "who have objected since; set that back only if nobody has,"
            )
        return f"was begun with other settings ({differing}); set them back"
    was = dict(zip(other.file.inputs, other.file.identity.content, strict=True))
    now = dict(zip(inputs, identity.content, strict=True))
    for path, content in now.items():
        if was.get(path, content) != content:
            return (
                f"was begun when {path} had other content (SHA-256 {was[path][:12]}…, now "
                f"{content[:12]}…); restore the file"
            )
    if {*was.values()} & {*now.values()}:
        return (
            f"was begun with other inputs or another order of them ({', '.join(was)}; now "
            f"{', '.join(now)}); name the same"
        )
    return ""


def answered_runs(state_folder: Path, identity: Identity) -> list[tuple[Run, str]]:
    """Finished runs of the same input and date, each with the settings that differ.

    Their answers are not used: a run with other settings asks for itself.
    """
    return [
        (run, _differing(run, identity))
        for run in _runs_of_day(state_folder, identity.run_date)
        if run.file.identity.content == identity.content and is_answered(run)
    ]


def unfinished_runs(
    state_folder: Path,
    identity: Identity,
    is_grown: IsGrown = lambda _: False,
    out: Path | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> list[Run]:
    """Unfinished runs of the same input and settings from other dates that hold answers.

    One that cannot be read is none of today's business: ``note`` gets a line on it.
    """
    found = []
    for folder in run_folders(state_folder):
        with noting_damage(folder, note):
            run = read_run(folder)
            own = run.file.identity if run else identity
            if run is None or own.content != identity.content or own.run_date == identity.run_date:
                continue
            of_its_day = msgspec.structs.replace(identity, run_date=own.run_date)
            is_same = run.identity.work == of_its_day.work
            is_same = is_same or _is_left(run, of_its_day, is_grown, out)
            if is_same and run.has_bought and not is_over(run, out):
                found.append(run)
    return found


def _runs_of_day(state_folder: Path, run_date: str) -> list[Run]:
    """The runs of a date. Raises ``JournalError`` on an unusable one: it may be the wanted one.

    Those of other dates are not read: a run's name begins with its own.
    """
    day = run_date.replace("-", "")
    found = (
        read_run(path)
        for path in run_folders(state_folder)
        if path.name.startswith(day) or not is_run_id(path.name)
    )
    return [run for run in found if run is not None]


def _is_left(run: Run, identity: Identity, is_grown: IsGrown, out: Path | None) -> bool:
    """Whether the run is unfinished, and differs in an opt-out list that has grown since alone."""
    own = run.identity
    settings = {**own.settings, OPT_OUT_FILE: identity.settings.get(OPT_OUT_FILE)}
    is_alike = msgspec.structs.replace(own, settings=settings).work == identity.work
    return is_alike and run.plan.exists() and not is_over(run, out) and is_grown(run)


def is_answered(run: Run) -> bool:
    """Whether every shard is sealed."""
    shards = len(list(run.plan.glob(f"rows-{_FIVE_DIGITS}.parquet")))
    return shards > 0 and len(list(run.sealed.glob(f"{_FIVE_DIGITS}.seal"))) == shards


def is_over(run: Run, out: Path | None) -> bool:
    """Whether nothing is left to do: all is answered, and its output was not stopped half-way.

    An output of which nothing is there has been moved away: that is no reason to write it again.
    """
    if not is_answered(run):
        return False
    layout = layout_of_run(out, run.run_id) if out else None
    return layout is None or layout.is_marked or not layout.run.exists()


def _differing(other: Run, identity: Identity) -> str:
    old, new = other.identity.work.settings, identity.work.settings
    differing = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    return "; ".join(f"{n} was {_shown(old, n)}, now {_shown(new, n)}" for n in differing)


def _shown(settings: Mapping[str, Any], name: str) -> str:
    if name == OPT_OUT_FILE:
        sha256 = settings.get(name)
        return f"SHA-256 {sha256[:12]}…" if sha256 else "none"
    return json.dumps(settings.get(name), ensure_ascii=False)
