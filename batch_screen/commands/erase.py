"""Erase: people out of the runs of an output folder and its state; or where they lie.

What is found is written down first; then each run is written anew without them, the later ones
first, then states and vault follow, and warehouses last: from then on no load can bring anybody
back, and they are given the new manifests at once. Killed at any moment, every run is whole, and
the same command goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from batch_screen.commands.erase_warehouses import ErasedTarget, Warehouse, erase_from
from batch_screen.commands.purge import finish_aside, set_aside, state_files
from batch_screen.commands.rewrite import settle
from batch_screen.comparison.previous import Previous, digest_of
from batch_screen.config.paths import shown_address
from batch_screen.config.settings import Settings
from batch_screen.erasure.anew import refuse_damaged, write_vault_without, write_without
from batch_screen.erasure.journal import (
    PlannedErasure,
    PlannedRun,
    end_journal,
    read_journal,
    refuse_others,
    write_journal,
)
from batch_screen.erasure.people import People, read_people
from batch_screen.erasure.search import Holdings, RunHolding, find_in_runs, holds, states_holding
from batch_screen.errors import OutputError, Stopped, no_input
from batch_screen.job import STATE, Job
from batch_screen.masking import safe_text
from batch_screen.privacy.ids import NumberIds, read_id_key
from batch_screen.runs.events import RunEvents
from batch_screen.runs.finding import is_over
from batch_screen.runs.folders import refuse_link, refuse_links, refuse_unfit
from batch_screen.runs.layout import LOOKUPS, finish_exchanges, is_run_id, layout_of_run
from batch_screen.runs.state import noting_damage, read_run
from batch_screen.storage.atomic import make_folder, sha256_of
from batch_screen.storage.lock import alone, locked
from batch_screen.storage.reading import MOST_BYTES
from batch_screen.storage.records import read_record, write_record
from batch_screen.tables.integrity import own_files
from batch_screen.tables.manifest import read_manifest
from batch_screen.warehouse.address import parse
from batch_screen.warehouse.erased import runs_now
from batch_screen.warehouse.target import SCHEMA, WhomToErase


class ErasedRun(msgspec.Struct, frozen=True):
    """A run that holds some of the people, or held them: rows by table, and the files.

    ``cells`` were kept in rows of other people. ``manifest_after`` is empty until it is erased.
    """

    run_id: str
    run_date: str
    rows: dict[str, int]
    files: list[str]
    manifest_before: str
    manifest_after: str = ""
    cells: int = 0


class EraseReport(msgspec.Struct, frozen=True):
    """What is to be erased, or was: the receipt, which holds no number but masked ones.

    ``states`` are runs whose state goes as a whole, ``vault`` those whose file there has less;
    ``unfinished`` ones stand in the way. ``has_ids``: the runs hold ids in the place of numbers.
    ``not_found``: nothing holds them.
    """

    erased: bool
    at: datetime
    out: str
    numbers: list[str]
    not_found: list[str]
    runs: list[ErasedRun]
    states: list[str]
    vault: list[str]
    unfinished: list[str]
    has_ids: bool = False
    targets: list[ErasedTarget] = []

    @property
    def is_empty(self) -> bool:
        held = [each for each in self.targets if not each.is_empty]
        return not (self.runs or self.states or self.vault or self.unfinished or held)

    @property
    def rows(self) -> int:
        return sum(sum(run.rows.values()) for run in self.runs)


def erase(  # noqa: PLR0913 (as the command)
    numbers: str,
    settings: Settings,
    *,
    to: Sequence[str] = (),
    schema: str = SCHEMA,
    dry_run: bool = False,
    ids: NumberIds | None = None,
    events: RunEvents | None = None,
) -> EraseReport:
    """Erases the people on a list, ``-`` for stdin, or, ``dry_run``, only says where they lie.

    ``to``: warehouses that hold them, too, in a schema of this name; they come last.
    Raises ``InputError`` over the list, ``Stopped`` (4) where an unfinished run holds one of them,
    ``RunLockedError`` while a run is going on or a run is being loaded, ``InputError`` where a run
    that holds one is not what was written, ``WarehouseError`` where one cannot be opened,
    ``OutputError`` where another user may write to a folder or one is a link: all of these before
    anything is changed. ``WarehouseError`` as well where one fails: all else is done.
    """
    job = Job((), settings)
    out, state = job.out, job.state
    vault = Path(settings.privacy.id_vault) if settings.privacy.id_vault else None
    if not settings.output.trust_folders:
        refuse_unfit(filter(None, (out, out / STATE, state, vault)))
    events = events or RunEvents()
    if ids is None and settings.privacy.id_key_file:
        ids = read_id_key(Path(settings.privacy.id_key_file))
    people = read_people(numbers, settings, events, ids)
    if bucket := settings.output.state_bucket:
        events.progress.note(
            f"the state in {shown_address(bucket)} is not searched, and may hold them: once its "
            "runs are complete, batch-screen purge --state-only removes it there"
        )
    return erase_people(
        people,
        out,
        state,
        vault=vault,
        warehouses=[Warehouse(parse(target), schema) for target in dict.fromkeys(to)],
        dry_run=dry_run,
        events=events,
    )


def erase_people(  # noqa: PLR0913 (as erase)
    people: People,
    out: Path,
    state: Path,
    *,
    vault: Path | None = None,
    warehouses: Sequence[Warehouse] = (),
    dry_run: bool = False,
    events: RunEvents | None = None,
) -> EraseReport:
    """As ``erase``, of people that were read already."""
    events = events or RunEvents()
    for warehouse in warehouses:
        with warehouse.opened() as target:
            target.loaded()  # so that nothing is changed where it is not reached
    if not out.is_dir():
        raise no_input(f"{out}: there is no such folder; check the path of --out")
    refuse_links(out, state, is_deep=True)
    for path in (*(state / "runs").glob("*/*"), *(state / "runs").glob("*/*/*")):
        refuse_link(path)
    with ExitStack() as held:
        if not dry_run:
            for folder in dict.fromkeys((state, out / STATE)):
                held.enter_context(locked(make_folder(folder)))
            _tidy(out, state)
        erasure = _Erasure(people, out, state, vault, warehouses, events)
        return erasure.looked_at() if dry_run else erasure.made()


def _tidy(out: Path, state: Path) -> None:
    """Removes what killed starts have left beside runs and states: it may hold people."""
    finish_exchanges(out)
    for growing in (out / "runs").glob(".*.anew"):
        run_id = growing.name.removeprefix(".").removesuffix(".anew")
        if is_run_id(run_id) and layout_of_run(out, run_id).is_marked:
            settle(layout_of_run(out, run_id))
    finish_aside(state)


class _Erasure:
    """One erasure: what was found, and the steps that take it away."""

    def __init__(  # noqa: PLR0913, PLR0917 (whom, and from where)
        self,
        people: People,
        out: Path,
        state: Path,
        vault: Path | None,
        warehouses: Sequence[Warehouse],
        events: RunEvents,
    ) -> None:
        self._warehouses = warehouses
        self._people = people
        self._out = out
        self._state = state
        self._events = events
        events.progress.stage("searching")
        runs, unfinished = find_in_runs(out, people, events.advance)
        states = states_holding(state, people, lambda folder: state_files(folder)[0])
        going = [folder for folder in states if not self._is_over(folder)]
        unfinished = sorted({*unfinished, *(folder.name for folder in going)})
        states = [folder for folder in states if folder not in going]
        files = sorted(vault.glob("*.parquet")) if vault else []
        self._found = Holdings(runs, unfinished, states, [f for f in files if holds(f, people)])

    def looked_at(self) -> EraseReport:
        """Where they lie."""
        planned = [_planned(run, self._found.runs) for run in self._found.runs]
        targets = self._in_warehouses(planned, dry_run=True)
        return self._report(datetime.now(UTC), planned, targets)

    def made(self) -> EraseReport:
        """Takes them away, or goes on with that; nothing is changed where that cannot be."""
        self._refuse()
        begun, found = read_journal(self._out), self._found
        now = [_planned(run, found.runs) for run in found.runs]
        if begun is not None:
            left = {run.run_id for run in begun.runs if not self._is_done(run, begun.at)}
            refuse_others(self._out, begun, self._people.e164.len(), now, left)
        planned = _joined(begun, now, found, self._people)
        if not (planned.runs or planned.states or found.vault):
            targets = self._in_warehouses([])
            is_done = any(not each.is_empty for each in targets)
            return self._report(planned.at, [], targets, is_done=is_done)
        write_journal(self._out, planned)
        by_id = {run.layout.run_id: run for run in found.runs}
        parts = sum(len(run.parts) for run in found.runs)
        self._events.progress.stage("erasing", total=parts)
        for run in planned.runs:
            if run.run_id in by_id:
                layout = write_without(
                    by_id[run.run_id],
                    self._people,
                    planned.at,
                    run.compared,
                    lambda: self._events.advance(1),
                )
                settle(layout)
        self._follow(planned)
        for name in planned.states:
            if (self._state / "runs" / name).is_dir():
                set_aside(self._state, name)
        finish_aside(self._state)
        for path in found.vault:
            write_vault_without(path, self._people)
        # The journal stays until they are done: it knows the manifests that they have.
        targets = self._in_warehouses(planned.runs)
        report = self._report(planned.at, planned.runs, targets, is_done=True)
        end_journal(self._out)
        return report

    def _in_warehouses(
        self, planned: Sequence[PlannedRun], *, dry_run: bool = False
    ) -> list[ErasedTarget]:
        if not self._warehouses:
            return []
        now = runs_now(self._out, {run.run_id: run.manifest_sha256 for run in planned})
        whom = WhomToErase(self._people.key_values, self._people.patterns, now)
        return erase_from(self._warehouses, whom, self._out, self._events, dry_run=dry_run)

    def _refuse(self) -> None:
        if self._found.unfinished:
            named = ", ".join(self._found.unfinished[:3])
            more = len(self._found.unfinished) - 3
            raise Stopped(
                f"run {named}{f' and {more} more' if more > 0 else ''} in {self._out} is not "
                "complete and holds one of these people; nothing was changed: let it come to its "
                "end (batch-screen status names the command; --opt-out leaves them out), or remove "
                "it with batch-screen purge --unfinished --older-than 0d, which takes runs dated "
                "before today, then erase again"
            )
        for folder in self._found.states:
            if strangers := state_files(folder)[1]:
                raise OutputError(
                    f"{folder} holds one of these people, and files that are not batch-screen's "
                    f"({', '.join(strangers[:3])}); nothing was changed: move those away, then "
                    "erase again"
                )
        parts = [run.layout.folder / name for run in self._found.runs for name in run.parts]
        for path in (*parts, *self._found.vault):
            refuse_link(path)
        self._events.progress.stage("hashing", total=len(self._found.runs))
        for run in self._found.runs:
            refuse_damaged(run)
            self._events.advance(1)
            # Nobody reads it just now.
            with alone(run.layout.manifest, f"run {run.layout.run_id}"):
                pass

    def _is_over(self, folder: Path) -> bool:
        """Whether a state's run is complete, here or where its output was moved."""
        if layout_of_run(self._out, folder.name).is_marked:
            return True
        run = read_run(folder)
        return run is not None and is_over(run, self._out)

    def _is_done(self, run: PlannedRun, at: datetime) -> bool:
        """Whether a planned run was written anew already, or is gone."""
        manifest = read_manifest(layout_of_run(self._out, run.run_id))
        return manifest is None or any(each.at == at for each in manifest.erased)

    def _follow(self, planned: PlannedErasure) -> None:
        """Lets states of later runs know the new lookups of the runs they are compared with."""
        before = {run.run_id: run.lookups_sha256 for run in planned.runs}
        for record in (self._state / "runs").glob("*/previous.json"):
            with noting_damage(record.parent, self._events.progress.note):
                previous = read_record(record, Previous)
                if before.get(previous.run_id) == previous.lookups_sha256:
                    digest = _lookups_digest(self._out, previous.run_id)
                    write_record(record, msgspec.structs.replace(previous, lookups_sha256=digest))

    def _report(
        self,
        at: datetime,
        planned: Sequence[PlannedRun],
        targets: list[ErasedTarget],
        *,
        is_done: bool = False,
    ) -> EraseReport:
        files = {run.layout.run_id: sorted(run.parts) for run in self._found.runs}
        runs = [
            ErasedRun(
                run.run_id,
                layout_of_run(self._out, run.run_id).run_date,
                run.rows,
                files.get(run.run_id, []),
                run.manifest_sha256,
                self._digest(run.run_id) if is_done else "",
                run.cells,
            )
            for run in planned
        ]
        return EraseReport(
            is_done,
            at,
            safe_text(str(self._out)),
            self._people.masked,
            self._not_found() if all(each.is_empty for each in targets) else [],
            runs,
            [folder.name for folder in self._found.states],
            [path.stem for path in self._found.vault],
            self._found.unfinished,
            any(run.manifest.id_key for run in self._found.runs),
            targets,
        )

    def _digest(self, run_id: str) -> str:
        layout = layout_of_run(self._out, run_id)
        return sha256_of(layout.manifest, MOST_BYTES) if layout.manifest.exists() else ""

    def _not_found(self) -> list[str]:
        if self._found.states or self._found.unfinished or self._found.vault:
            return []  # who lies there is not told apart
        missing = self._people.e164.is_not_null()
        for run in self._found.runs:
            missing &= ~self._people.keys(run.manifest.id_key).is_in(run.keys.implode())
            if run.cells:
                return []
        return self._people.masked_of(missing.to_list())


def _planned(run: RunHolding, runs: Sequence[RunHolding]) -> PlannedRun:
    manifest, layout = run.manifest, run.layout
    compared = 0
    if since := manifest.since_run_id:
        earlier = next((each for each in runs if each.layout.run_id == since), None)
        if earlier is not None:
            compared = int(run.keys.is_in(earlier.keys.implode()).sum())
        elif not layout_of_run(layout.folder, since).is_marked:
            compared = run.keys.len()  # it is gone: most people are on the list every night
    return PlannedRun(
        layout.run_id,
        run.rows,
        run.keys.len(),
        run.cells,
        compared,
        sha256_of(layout.manifest, MOST_BYTES),
        _lookups_digest(layout.folder, layout.run_id),
    )


def _joined(
    begun: PlannedErasure | None,
    now: Sequence[PlannedRun],
    found: Holdings,
    people: People,
) -> PlannedErasure:
    """The plan: one that was begun, and what runs and states have come to it since."""
    runs, states = list(now), [folder.name for folder in found.states]
    if begun is not None:
        known = {run.run_id for run in begun.runs}
        runs = [*(run for run in now if run.run_id not in known), *begun.runs]
        states = sorted({*begun.states, *states})
    at = begun.at if begun else datetime.now(UTC)
    return PlannedErasure(at, people.e164.len(), runs, states)


def _lookups_digest(out: Path, run_id: str) -> str:
    layout = layout_of_run(out, run_id)
    manifest = read_manifest(layout)
    listed = own_files(layout, manifest) if manifest else []
    return digest_of([file for file in listed if file.table == LOOKUPS])
