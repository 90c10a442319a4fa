"""Purge: removes the state and outputs of old runs, and nothing else.

The order is such that a half removed run never looks complete: latest.json and the marker go
first, and a state leaves the folder of runs in one rename. Which runs go is recorded before.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec

from batch_screen.errors import no_input
from batch_screen.job import STATE
from batch_screen.masking import safe_line
from batch_screen.privacy.vault import vault_path
from batch_screen.runs.folders import ASIDE, refuse_link, refuse_links, refuse_unfit
from batch_screen.runs.layout import (
    DATA_FOLDERS,
    Layout,
    is_run_id,
    latest_run,
    layout_of_run,
    run_date_of,
)
from batch_screen.runs.purged import PurgedRun, add_purged
from batch_screen.storage.atomic import (
    UNFINISHED,
    make_folder,
    sha256_of,
    sync_folder,
    translated,
    write_atomically,
)
from batch_screen.storage.lock import alone, locked
from batch_screen.storage.reading import MOST_BYTES, is_there
from batch_screen.storage.scratch import sweep_scratch
from batch_screen.tables.manifest import latest_content, read_manifest, rows_of

# Which files are a run's: by their names alone, and through no link.
#
# Other files beside them are left alone.

_PLAN = r"plan(\.growing|\.before|\.restored)?"
_PLANS = ("plan", "plan.growing", "plan.before", "plan.restored")
STATE_FOLDERS = (*_PLANS, "journal", "sealed", "sessions")
"""Subfolders of a run's folder in the state folder."""

GOING = "_PURGING"
"""The marker's name while its run is being purged, so that a later purge can finish."""

_STATE_FILES = (
    re.compile(r"(run|previous)\.json|openlineage\.ndjson"),
    re.compile(
        rf"{_PLAN}/((rows|history|carried|forms|cells)-[0-9]{{5}}\.(parquet|whole|spool)"
        r"|(rejects|opt_outs)\.parquet|plan\.json)"
    ),
    re.compile(r"journal/[0-9]{5}-[0-9]{5}\.journal"),
    re.compile(r"sealed/([0-9]{5}(-[0-9]{5})?\.parquet|[0-9]{5}\.seal)"),
    re.compile(r"sessions/[0-9]{4,}\.json"),
    re.compile(rf"(({_PLAN}|journal|sealed|sessions)/)?{UNFINISHED.pattern}"),
)


def run_ids(out: Path | None, state: Path | None) -> list[str]:
    """Every run that has a file in one of the folders, oldest date first."""
    names: set[str] = set()
    for folder in (out, state):
        names |= {path.name for path in entries(folder / "runs")} if folder else set()
    days = [day for table in DATA_FOLDERS for day in entries(out / table)] if out else []
    names |= {path.name.rpartition("-")[0] for day in days for path in entries(day)}
    return sorted(name for name in names if is_run_id(name))


def outputs(layout: Layout) -> tuple[list[Path], list[str]]:
    """The run's files in the output folder, and masked names of foreign files in the run's own."""
    days = [layout.part(table, 0).parent for table in DATA_FOLDERS]
    # What wrote the run anew may have been killed.
    days += [layout.growing / table for table in DATA_FOLDERS]
    named = [p for day in days for p in entries(day) if layout.is_part(p.name)]
    parts = [path for path in named if _is_file(path)]
    known = {*layout.reports, layout.in_order, layout.manifest, layout.marker, layout.lineage}
    known.add(layout.run / GOING)
    own, strangers = [], [layout.named(path) for path in named if path not in parts]
    anew = {path.name for path in known}
    own += [
        path
        for path in entries(layout.growing)
        if _is_file(path) and (path.name in anew or UNFINISHED.fullmatch(path.name))
    ]
    for path in entries(layout.run):
        if _is_file(path) and (path in known or UNFINISHED.fullmatch(path.name)):
            own.append(path)
        else:
            strangers.append(f"runs/{layout.run_id}/{safe_line(path.name)}")
    return [*parts, *own], strangers


def state_files(folder: Path) -> tuple[list[Path], list[str]]:
    """The run's state files, and masked names of foreign files in its folder."""
    own, strangers = [], []
    paths = [
        path
        for top in entries(folder)
        for path in (top, *(entries(top) if top.name in STATE_FOLDERS else ()))
    ]
    for path in paths:
        name = str(path.relative_to(folder))
        if _is_file(path) and any(pattern.fullmatch(name) for pattern in _STATE_FILES):
            own.append(path)
        elif not (is_folder(path) and name in STATE_FOLDERS):
            strangers.append(f"{folder.name}/{safe_line(name)}")
    return own, strangers


def entries(folder: Path) -> Iterable[Path]:
    """The entries of a folder; none if it is missing or a symbolic link."""
    if not is_folder(folder):
        return ()
    with translated("read", folder):
        return sorted(folder.iterdir())


def is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _is_file(path: Path) -> bool:
    return is_there(path) and stat.S_ISREG(path.lstat().st_mode)


@dataclass(frozen=True)
class PurgeScope:
    """The runs to purge, dated before a day, and which of their files.

    ``out`` None: there is no output folder, so no run is known to be finished. ``unfinished``:
    those that were paid for and have not come to their end too. ``vault`` is where the numbers of
    their ids lie, which go with the outputs. ``bucket`` keeps the states, too. ``trusts_folders``:
    also where another user may write.
    """

    out: Path | None
    state: Path
    before: date
    outputs: bool = True
    states: bool = True
    unfinished: bool = False
    vault: Path | None = None
    bucket: str = ""
    trusts_folders: bool = False


class PurgeItem(msgspec.Struct, frozen=True):
    """A run to remove: its files; ``strangers`` among them are not ours and stay."""

    run_id: str
    run_date: str
    outputs: tuple[Path, ...] = ()
    state: tuple[Path, ...] = ()
    bytes: int = 0
    strangers: tuple[str, ...] = ()

    @property
    def files(self) -> int:
        return len(self.outputs) + len(self.state)


class Purge(msgspec.Struct, frozen=True):
    """The result of a purge, and the old runs left because they are unfinished.

    ``latest`` is the run that latest.json will name; empty: latest.json goes; None: it stays.
    ``leftovers`` counts states that a killed purge has set aside and not removed. ``in_bucket``
    are runs whose state goes from the bucket.
    """

    before: str
    runs: tuple[PurgeItem, ...]
    unfinished: tuple[str, ...]
    latest: str | None = None
    leftovers: int = 0
    in_bucket: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remove."""
        return not self.files and not self.leftovers and not self.in_bucket

    @property
    def files(self) -> int:
        return sum(run.files for run in self.runs)

    @property
    def bytes(self) -> int:
        return sum(run.bytes for run in self.runs)


def purge(scope: PurgeScope, *, dry_run: bool = False) -> Purge:
    """Removes the old runs in scope; with ``dry_run`` only returns what it would remove.

    Locks both folders meanwhile, as a run does, and each run, so that no load reads it. Raises
    ``InputError`` (66) where a folder is missing and ``RunLockedError`` where a run is going on or
    one of those to remove is being loaded; ``OutputError`` (73) where another user may write to a
    folder, or one of them is a link.
    """
    out, state = _folders(scope)
    tops = [scope.state, *([scope.out, scope.out / STATE] if scope.out else []), scope.vault]
    if not scope.trusts_folders:
        refuse_unfit(filter(None, tops))
    refuse_links(scope.out, scope.state)
    if dry_run:
        return _found(scope, out, state, _in_bucket(scope, is_removing=False))
    sweep_scratch()
    locks = [scope.state] if scope.out is None else [scope.state, scope.out / STATE]
    with ExitStack() as held:
        for folder in dict.fromkeys(locks):
            held.enter_context(locked(make_folder(folder)))
        found = _found(scope, out, state, _in_bucket(scope, is_removing=True))
        _hold_against_loads(held, found)
        if out is not None:
            add_purged(out, _records(out, found.runs))
            _set_latest(out, found.latest)
        for run in (run for run in found.runs if run.files):
            if out is not None:
                _unmark(layout_of_run(out, run.run_id))
            if state is not None and run.state:
                set_aside(state, run.run_id)
            if out is not None:
                _remove_outputs(layout_of_run(out, run.run_id), run.outputs)
        if state is not None:
            finish_aside(state)
    return found


def remove_state(state: Path, run_id: str) -> None:
    """Removes a run's state, whose lock is held; a kill leaves none that a start would find."""
    set_aside(state, run_id)
    finish_aside(state)


def _hold_against_loads(held: ExitStack, found: Purge) -> None:
    for run in found.runs:
        for manifest in (path for path in run.outputs if path.name == "manifest.json"):
            held.enter_context(alone(manifest, f"run {run.run_id}"))


def _records(out: Path, runs: Sequence[PurgeItem]) -> Iterator[PurgedRun]:
    """What the record of purged runs has to say of those that lose their output."""
    now = datetime.now(UTC)
    for run in runs:
        layout = layout_of_run(out, run.run_id)
        # Of one that was purged before, a file in the vault may be left, or files not ours.
        if not any(layout.folder in path.parents for path in run.outputs):
            continue
        digest, rows = None, {}
        if (manifest := read_manifest(layout)) is not None:
            rows = rows_of(manifest)
        with suppress(OSError):  # whatever lies there: the run goes
            digest = sha256_of(layout.manifest, MOST_BYTES)
        yield PurgedRun(run.run_id, run.run_date, now, digest, rows)


def _in_bucket(scope: PurgeScope, *, is_removing: bool) -> tuple[str, ...]:
    """The old runs whose state the bucket keeps; removes it there."""
    if not (scope.bucket and scope.states):
        return ()
    from batch_screen.cluster.store import old_runs, remove_old_runs  # noqa: PLC0415 (buckets only)

    before = scope.before.isoformat()
    if is_removing:
        return remove_old_runs(scope.bucket, before, scope.state, unfinished=scope.unfinished)
    return old_runs(scope.bucket, before, unfinished=scope.unfinished)


def _found(
    scope: PurgeScope, out: Path | None, state: Path | None, in_bucket: tuple[str, ...] = ()
) -> Purge:
    """The runs to purge in these folders; changes nothing."""
    before = scope.before.isoformat()
    old = [run_id for run_id in run_ids(out, state) if run_date_of(run_id) < before]
    chosen = [run_id for run_id in old if scope.unfinished or _was_complete(scope.out, run_id)]
    vault = scope.vault if out else None
    found = [_item(out, state, vault, run_id) for run_id in chosen]
    runs = tuple(run for run in found if run.files or run.strangers)
    left = tuple(run_id for run_id in old if run_id not in chosen)
    going = {run.run_id for run in runs if run.files}
    aside = len([*entries(state / ASIDE)]) if state else 0
    return Purge(before, runs, left, _next_latest(out, going), aside, in_bucket)


def _folders(scope: PurgeScope) -> tuple[Path | None, Path | None]:
    """The output folder and the state folder, where in scope and existing."""
    named = scope.state if scope.out is None else scope.out
    if not named.is_dir():
        raise no_input(f"{named}: there is no such folder; check the path of --out or --state-dir")
    out = scope.out if scope.outputs else None
    return out, scope.state if scope.states and scope.state.is_dir() else None


def _item(out: Path | None, state: Path | None, vault: Path | None, run_id: str) -> PurgeItem:
    if links := [*_links(out, state, run_id)]:
        return PurgeItem(run_id, run_date_of(run_id), strangers=(*links,))
    written, strangers = outputs(layout_of_run(out, run_id)) if out else ([], [])
    if vault and (path := vault_path(vault, run_id)).is_file():
        if path.is_symlink():
            strangers.append(f"{path.name} of the vault (a link)")
        else:
            written.append(path)
    kept, foreign = state_files(state / "runs" / run_id) if state else ([], [])
    if foreign:  # its folder is moved as a whole, so it has to be ours as a whole
        kept = []
    size = sum(path.lstat().st_size for path in (*written, *kept))
    names = (*strangers, *foreign)
    return PurgeItem(run_id, run_date_of(run_id), tuple(written), tuple(kept), size, names)


def _links(out: Path | None, state: Path | None, run_id: str) -> Iterator[str]:
    """The run's folders that are links: such a run stays as it is."""
    layout = layout_of_run(out or Path(), run_id)
    days = [layout.part(table, 0).parent for table in DATA_FOLDERS]
    for folder in (layout.run, layout.growing, *days) if out else ():
        if folder.is_symlink():
            yield f"{layout.named(folder)} (a link)"
    if state and (state / "runs" / run_id).is_symlink():
        yield f"{run_id} of the state (a link)"


def _was_complete(out: Path | None, run_id: str) -> bool:
    """Whether the run was complete, even if a killed purge has begun to remove it."""
    if out is None:
        return False
    layout = layout_of_run(out, run_id)
    return layout.is_marked or is_there(layout.run / GOING)


def _next_latest(out: Path | None, going: set[str]) -> str | None:
    """The remaining complete run that was written last."""
    if out is None or latest_run(out) not in going:
        return None
    markers = [m for m in out.glob("runs/*/_SUCCESS") if is_run_id(m.parent.name)]
    staying = [
        m
        for m in markers
        if m.parent.name not in going and read_manifest(layout_of_run(out, m.parent.name))
    ]
    return max(staying, key=lambda m: m.stat().st_mtime).parent.name if staying else ""


def _set_latest(out: Path, run_id: str | None) -> None:
    latest = out / "latest.json"
    if run_id:
        layout = layout_of_run(out, run_id)
        with translated("read", layout.manifest):
            digest = sha256_of(layout.manifest, MOST_BYTES)
        write_atomically(latest, latest_content(layout, digest), mode=layout.file_mode)
    elif run_id is not None:
        with translated("remove", latest):
            latest.unlink()
            sync_folder(out)


def _unmark(layout: Layout) -> None:
    """Renames the run's marker: the run looks complete no more, but a later purge knows it was."""
    if _is_file(layout.marker):  # what else lies there is not ours
        with translated("remove", layout.marker):
            layout.marker.rename(layout.run / GOING)
            sync_folder(layout.run)  # it must not come back when the parts have gone


def _remove_outputs(layout: Layout, files: Sequence[Path]) -> None:
    """Removes manifest and summary last: they show a later start that the run was paid for."""
    going = layout.run / GOING
    last = [path for path in (layout.manifest, layout.summary) if path in files]
    between = [path for path in files if path not in (layout.marker, going, *last)]
    with translated("remove", layout.run):
        for path in (*between, *last):
            path.unlink(missing_ok=True)  # a load may have written its events anew meanwhile
        if _is_file(going):
            going.unlink()
        grown = (*(layout.growing / table for table in DATA_FOLDERS), layout.growing)
        for folder in (*{path.parent for path in between}, *grown, layout.run):
            _remove_if_empty(folder)


def set_aside(state: Path, run_id: str) -> None:
    """Moves the state out of the folder of runs in one step: no start finds half of it."""
    folder = state / "runs" / run_id
    for path in (state / ASIDE, folder.parent, folder):
        refuse_link(path)
    aside = make_folder(state / ASIDE)
    with translated("remove", folder):
        folder.rename(aside / run_id)
        sync_folder(aside)
        sync_folder(folder.parent)


def finish_aside(state: Path) -> None:
    """Removes the states that were set aside, also by a killed purge."""
    aside = state / ASIDE
    with translated("remove", aside):
        for folder in entries(aside):
            for path in state_files(folder)[0]:
                path.unlink()
            for name in (*STATE_FOLDERS, "."):
                _remove_if_empty(folder / name)
        _remove_if_empty(aside)


def _remove_if_empty(folder: Path) -> None:
    if is_folder(folder) and not any(folder.iterdir()):
        folder.rmdir()
        sync_folder(folder.parent)
