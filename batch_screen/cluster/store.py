"""State in a bucket: what was bought outlives the machine, and any other goes on with it.

The folder on this disk is scratch, and the same files lie in the bucket, each created once and
never changed; what is there counts. ``place`` keeps and gets those of one run.

    PREFIX/reigns/00000003              who holds it, in turn (reign.py); beats/ beside
           runs/RUN/plans/0000.json     the files of run and plan; the last one counts
                    plan/<random>/…     run.json, plan.json, rows-<shard>.parquet and the others
                    journal/00012/00003/00000041
                    sealed/00012-00003.parquet, then 00012.seal
                    sessions/0001.json, previous.json
                    complete            its output was written
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from batch_screen.cluster.place import RunPlace
from batch_screen.cluster.reign import Follower, Ruler, living, prove, reigning
from batch_screen.config.paths import bucket_of, shown_address
from batch_screen.errors import ConfigurationError, JournalError, OutputError
from batch_screen.runs.events import RunEvents
from batch_screen.runs.heartbeat import Heartbeat
from batch_screen.runs.layout import is_run_id
from batch_screen.runs.state import Run, run_folders
from batch_screen.storage.atomic import make_folder
from batch_screen.storage.lock import Holder
from batch_screen.storage.objects import ObjectStore, StoredObject
from batch_screen.storage.scratch import scratch_folder

_READ_TIMEOUT = "20s"


def state_store(address: str) -> tuple[ObjectStore, str]:
    """The bucket of an address, and the prefix in it, which is empty or ends in a slash."""
    place = bucket_of(address)
    if place is None:
        raise ConfigurationError(
            f"--state {shown_address(address)} names no bucket; write s3://BUCKET/PREFIX, gs://… "
            "or az://…, and name a folder with --state-dir"
        )
    root, prefix = place
    prefix = f"{prefix.strip('/')}/".lstrip("/")
    shown = shown_address(f"{root}/{prefix}".rstrip("/"))
    store = ObjectStore(root, shown, OutputError, below=prefix, read_timeout=_READ_TIMEOUT)
    return store, prefix


class StateBucket:
    """The runs of a bucket, and their files here; the reign is held meanwhile."""

    def __init__(
        self, store: ObjectStore, prefix: str, state: Path, ruler: Ruler | Follower | None
    ) -> None:
        self._store, self._prefix, self._state = store, prefix, state
        self._ruler = ruler
        self._places: dict[str, RunPlace] = {}
        self._damaged: dict[str, JournalError] = {}
        """The runs that were not restored, and why."""

    def place(self, run_id: str) -> RunPlace:
        """A run's place in the bucket. Raises ``JournalError`` if it is damaged there."""
        if run_id in self._damaged:
            raise self._damaged[run_id]
        if run_id not in self._places:
            folder = self._state / "runs" / run_id
            prefix = f"{self._prefix}runs/{run_id}/"
            self._places[run_id] = RunPlace(self._store, prefix, folder, self._ruler)
        return self._places[run_id]

    def run_ids(self) -> list[str]:
        """The runs in the bucket."""
        return sorted(self._listed())

    def _listed(self) -> dict[str, list[StoredObject]]:
        """The objects of each run in the bucket."""
        below = f"{self._prefix}runs"
        listed: defaultdict[str, list[StoredObject]] = defaultdict(list)
        for item in self._store.keys(below):
            listed[item.key[len(below) + 1 :].partition("/")[0]].append(item)
        return {run_id: items for run_id, items in listed.items() if is_run_id(run_id)}

    def restore(self, day: str, events: RunEvents) -> None:
        """Makes the runs that a start of this day looks at the same here and in the bucket.

        Not those that are damaged there: see ``pass_over``.
        """
        listed = self._listed()
        events.progress.stage("restoring", total=len(listed))
        for run_id, items in sorted(listed.items()):
            place = self.place(run_id)
            # A complete run of another day is looked at by nobody.
            if run_id.startswith(day.replace("-", "")) or not place.is_complete(items):
                try:
                    place.restore(items, events)
                except JournalError as error:
                    self._damaged[run_id] = error
            events.advance(1)

    def pass_over(
        self, own: str, sought: Callable[[Path], Run | None] | None, events: RunEvents
    ) -> list[str]:
        """Notes which runs are damaged; returns their ids, which are taken.

        Raises the damage of the one that the start would go on with: that ``sought`` finds in a
        state folder with all of them or, where nothing tells whose it is, whose id begins with
        ``own``. With ``sought`` None a start goes on with none.
        """
        if sought and self._damaged:
            with scratch_folder() as copy:
                runs = make_folder(copy / "runs")
                bucket = StateBucket(self._store, self._prefix, copy, None)
                unknown = [i for i in self._damaged if not bucket.place(i).outline()]
                for folder in run_folders(self._state):
                    if not (runs / folder.name).exists():
                        (runs / folder.name).symlink_to(folder.resolve())
                found = sought(copy)
            unknown = [run_id for run_id in unknown if run_id.startswith(own)]
            for run_id in [found.run_id] if found else unknown:
                if run_id in self._damaged:
                    raise self._damaged[run_id]
        for run_id, error in self._damaged.items():
            events.progress.note(
                f"run {run_id} is passed over, as its state in the bucket is damaged: {error}"
            )
        return [*self._damaged]

    def old_runs(self, before: str, *, unfinished: bool) -> tuple[str, ...]:
        """The runs from before a day that are complete, or also others."""
        old = [run_id for run_id in self.run_ids() if run_id[:8] < before.replace("-", "")]
        return tuple(i for i in old if unfinished or self.place(i).was_completed())

    def glance(self) -> dict[str, JournalError]:
        """Gets what ``status`` reads; returns what is damaged, by run."""
        for run_id in self.run_ids():
            try:
                self.place(run_id).glance()
            except JournalError as error:
                self._damaged[run_id] = error
        return self._damaged


@contextmanager
def held_state(address: str, state: Path, events: RunEvents) -> Iterator[StateBucket]:
    """The bucket's state, proved, held and not yet restored. Raises ``RunLockedError``."""
    store, prefix = state_store(address)
    prove(store, prefix)
    with reigning(store, prefix, state, events) as ruler:
        yield StateBucket(store, prefix, state, ruler)


def old_runs(address: str, before: str, *, unfinished: bool) -> tuple[str, ...]:
    """The runs of the bucket from before a day that are complete, or also others."""
    store, prefix = state_store(address)
    return StateBucket(store, prefix, Path(), None).old_runs(before, unfinished=unfinished)


def remove_old_runs(address: str, before: str, state: Path, *, unfinished: bool) -> tuple[str, ...]:
    """Removes the state of old runs from the bucket. Raises ``RunLockedError``."""
    with held_state(address, state, RunEvents()) as bucket:
        found = bucket.old_runs(before, unfinished=unfinished)
        for run_id in found:
            bucket.place(run_id).remove()
        return found


class Glance(NamedTuple):
    """The bucket's address, who is at work there, if anybody, and which runs are damaged there."""

    place: str
    life: tuple[Holder | None, Heartbeat | None]
    damaged: Mapping[str, JournalError]


def glance(address: str, state: Path) -> Glance:
    """Gets what ``status`` reads of the bucket's state into this folder; holds nothing."""
    store, prefix = state_store(address)
    damaged = StateBucket(store, prefix, state, None).glance()
    found = living(store, prefix)
    if found is None:
        return Glance(store.place, (None, None), damaged)
    reign, beat = found
    since = reign.since.isoformat(timespec="seconds")
    holder = Holder(reign.pid, since, reign.host, is_alive=True)
    return Glance(store.place, (holder, beat.heartbeat), damaged)


def shared_place(address: str, folder: Path, *, is_far: bool) -> RunPlace:
    """The place of a run whose folder this is, for a worker; its driver holds the reign.

    ``is_far``: the coordinator may outlive the driver, so the worker watches for another reign.
    """
    store, prefix = state_store(address)
    follower = Follower(store, prefix) if is_far else None
    return StateBucket(store, prefix, folder.parents[1], follower).place(folder.name)
