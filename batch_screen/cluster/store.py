"""State in a bucket: what was bought outlives the machine, and any other goes on with it.

The folder on this disk is scratch, and the same files lie in the bucket, each created once and
never changed; what is there counts. A segment of the journal lies there in pieces, one for each
commit. A start gets what it lacks, and first hands in what a killed process has left here.

    PREFIX/reigns/00000003              who holds it, in turn (reign.py); beats/ beside
           runs/RUN/plans/0000.json     the files of run and plan; the last one counts
                    plan/<random>/…     run.json, plan.json, rows-<shard>.parquet and the others
                    journal/00012/00003/00000041
                    sealed/00012-00003.parquet, then 00012.seal
                    sessions/0001.json, previous.json
                    complete            its output was written
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from hashlib import sha256
from io import BufferedWriter
from pathlib import Path
from typing import NamedTuple

import msgspec

from batch_screen.cluster.reign import Follower, Ruler, living, prove, reigning
from batch_screen.config.paths import bucket_of, shown_address
from batch_screen.errors import BatchScreenError, ConfigurationError, JournalError, OutputError
from batch_screen.journal.pieces import PieceWriter
from batch_screen.journal.seal import Seal, seal_path, sealed_outcomes, sealed_path
from batch_screen.journal.segments import next_number, segment_path, segments, shards_with_segments
from batch_screen.journal.writer import JournalWriter
from batch_screen.runs.events import RunEvents
from batch_screen.runs.heartbeat import Heartbeat
from batch_screen.runs.state import Run
from batch_screen.storage.atomic import (
    atomic_write,
    make_folder,
    open_private,
    sha256_of,
    translated,
    write_atomically,
)
from batch_screen.storage.lock import Holder
from batch_screen.storage.objects import ObjectStore, StoredObject
from batch_screen.storage.records import read_record

COMMIT_SECONDS = 0.2
"""A commit is a request that costs money: at 100 a second, four an outcome would be twice it."""
_AT_ONCE = 16
_READ_TIMEOUT = "20s"
_RUN, _PLAN, _PREVIOUS = "run.json", "plan.json", "previous.json"
_DELETED_AT_ONCE = 1_000
_COMPARED_BYTES = 1 << 20


class PlanFiles(msgspec.Struct, frozen=True):
    """The files of a run and its plan in a folder of the bucket: name, size and digest of each."""

    folder: str
    files: list[tuple[str, int, str]]

    @property
    def digest(self) -> str:
        """That of plan.json, which has those of the others."""
        return next(sha for name, _, sha in self.files if name == _PLAN)


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
    return ObjectStore(root, shown, OutputError, read_timeout=_READ_TIMEOUT), prefix


class StateBucket:
    """The runs of a bucket, and their files here; the reign is held meanwhile."""

    def __init__(
        self, store: ObjectStore, prefix: str, state: Path, ruler: Ruler | Follower | None
    ) -> None:
        self._store, self._prefix, self._state = store, prefix, state
        self._ruler = ruler
        self._places: dict[str, RunPlace] = {}

    def place(self, run_id: str) -> RunPlace:
        """A run's place in the bucket."""
        if run_id not in self._places:
            folder = self._state / "runs" / run_id
            prefix = f"{self._prefix}runs/{run_id}/"
            self._places[run_id] = RunPlace(self._store, prefix, folder, self._ruler)
        return self._places[run_id]

    def run_ids(self) -> list[str]:
        """The runs in the bucket."""
        below = f"{self._prefix}runs"
        names = {item.key[len(below) + 1 :].partition("/")[0] for item in self._store.keys(below)}
        return sorted(names)

    def restore(self, day: str, events: RunEvents) -> None:
        """Makes the runs that a start of this day looks at the same here and in the bucket."""
        below = f"{self._prefix}runs"
        listed: defaultdict[str, list[StoredObject]] = defaultdict(list)
        for item in self._store.keys(below):
            listed[item.key[len(below) + 1 :].partition("/")[0]].append(item)
        events.progress.stage("restoring", total=len(listed))
        for run_id, items in sorted(listed.items()):
            place = self.place(run_id)
            # A complete run of another day is looked at by nobody.
            if run_id.startswith(day.replace("-", "")) or not place.is_complete(items):
                place.restore(items, events)
            events.advance(1)

    def old_runs(self, before: str, *, unfinished: bool) -> tuple[str, ...]:
        """The runs from before a day that are complete, or also others."""
        old = [run_id for run_id in self.run_ids() if run_id[:8] < before.replace("-", "")]
        return tuple(i for i in old if unfinished or self.place(i).was_completed())

    def glance(self) -> None:
        """Gets what ``status`` reads."""
        for run_id in self.run_ids():
            self.place(run_id).glance()


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
    """The bucket's address, and who is at work there, if anybody is, with his heartbeat."""

    place: str
    life: tuple[Holder | None, Heartbeat | None]


def glance(address: str, state: Path) -> Glance:
    """Gets what ``status`` reads of the bucket's state into this folder; holds nothing."""
    store, prefix = state_store(address)
    StateBucket(store, prefix, state, None).glance()
    found = living(store, prefix)
    if found is None:
        return Glance(store.place, (None, None))
    reign, beat = found
    since = reign.since.isoformat(timespec="seconds")
    return Glance(
        store.place, (Holder(reign.pid, since, reign.host, is_alive=True), beat.heartbeat)
    )


def shared_place(address: str, folder: Path, *, is_far: bool) -> RunPlace:
    """The place of a run whose folder this is, for a worker; its driver holds the reign.

    ``is_far``: the coordinator may outlive the driver, so the worker watches for another reign.
    """
    store, prefix = state_store(address)
    follower = Follower(store, prefix) if is_far else None
    return StateBucket(store, prefix, folder.parents[1], follower).place(folder.name)


class RunPlace:
    """A run in the bucket, and its folder here: a ``StateCopy``, and ``Pieces`` of its journal."""

    commit_seconds = COMMIT_SECONDS

    def __init__(
        self, store: ObjectStore, prefix: str, folder: Path, ruler: Ruler | Follower | None
    ) -> None:
        self._store, self._prefix, self.folder, self._ruler = store, prefix, folder, ruler
        self._journal, self._sealed = folder / "journal", folder / "sealed"
        self._known: Counter[tuple[int, int]] = Counter()
        """How many pieces of a shard's segments are known here."""

    # --- what is kept ---------------------------------------------------------------------------

    def keep_plan(self, run: Run) -> None:
        """Keeps the run and its plan, if it is not the one there; an earlier plan goes."""
        paths = [run.folder / _RUN, *(path for path in sorted(run.plan.iterdir()))]
        files = [(path.name, path.stat().st_size, sha256_of(path)) for path in paths]
        plan, found = PlanFiles(secrets.token_hex(8), files), self._latest_plan()
        if found is not None and found[1].digest == plan.digest:
            return
        _each([partial(self._send, f"plan/{plan.folder}/{path.name}", path) for path in paths])
        number = found[0] + 1 if found else 0
        self._create(f"plans/{number:04d}.json", msgspec.json.encode(plan))
        # It may hold people who have objected since.
        old = [name for name in self._names("plan") if not name.startswith(f"plan/{plan.folder}/")]
        self._delete(old)
        if not found:  # it may have been begun without a bucket
            self._hand_in_all()

    def _hand_in_all(self) -> None:
        for path in sorted(self._sealed.glob("*.seal")):
            self.keep_seal(int(path.stem))
        for shard in shards_with_segments(self._journal):
            self._restore_shard(shard, {})

    def keep_records(self) -> None:
        """Keeps the records of sessions, and which run the changes are counted from."""
        for path in (*sorted(self.folder.glob("sessions/*.json")), self.folder / _PREVIOUS):
            if path.exists():
                self._send(str(path.relative_to(self.folder)), path)

    def complete(self) -> None:
        """Notes that the run's output is written."""
        self.keep_records()
        self._create("complete", b"")

    def remove(self) -> None:
        """Removes all of it; what makes it a run goes first, so that none is half there."""
        self._delete(self._names("plans"))
        self._delete(self._names(""))

    # --- the journal, for the engine ------------------------------------------------------------

    @property
    def is_held(self) -> bool:
        return self._ruler is None or self._ruler.is_held

    def writer(self) -> JournalWriter:
        return PieceWriter(self._journal, self.folder.name, self)

    def claim(self, shard: int, header: bytes) -> int:
        """Creates the first piece of a segment that nobody has; its number is the epoch."""
        known = self._pieces(self._names(f"journal/{shard:05d}"))[shard]
        number = max(next_number(self._journal, shard), max(known, default=-1) + 1)
        while not self._put_new(_piece(shard, number, 0), header):
            number += 1
        self._known[shard, number] = 1
        return number

    def keep(self, shard: int, segment: int, piece: int, content: bytes) -> None:
        key = _piece(shard, segment, piece)
        if not self._put_new(key, content):
            raise JournalError(
                f"{self._store.name(self._prefix + key)} is there and was not written by this "
                "process; nothing was changed: start the same command again"
            )
        self._known[shard, segment] = piece + 1

    def may_seal(self, shard: int) -> bool:
        # An earlier owner may have saved answers since the shard's journal was read.
        for segment, numbers in self._pieces(self._names(f"journal/{shard:05d}"))[shard].items():
            if len(numbers) != self._known[shard, segment]:
                self._restore_segment(shard, segment, sorted(numbers))
        return self.is_held

    def keep_seal(self, shard: int) -> None:
        outcomes = sealed_outcomes(self._sealed, self.folder.name, shard)
        for path in (outcomes, seal_path(self._sealed, shard)):
            self._send(f"sealed/{path.name}", path)
        with suppress(BatchScreenError):  # what is left is removed by the next start
            self._delete(self._names(f"journal/{shard:05d}"))

    # --- what a start gets ----------------------------------------------------------------------

    def was_completed(self) -> bool:
        """Whether its output was written."""
        return self._store.head(f"{self._prefix}complete") is not None

    def is_complete(self, items: Iterable[StoredObject]) -> bool:
        return any(item.key == f"{self._prefix}complete" for item in items)

    def restore(self, items: list[StoredObject], events: RunEvents) -> None:
        """Hands in what is here alone, and gets what is there alone, of a run that has a plan."""
        names = [item.key[len(self._prefix) :] for item in items]
        plan = self._latest_plan(names)
        if plan is None:  # a start was killed while it planned
            return
        self._make_folders()
        self._restore_plan(plan[1], events)
        self._restore_seals(names, events)
        few = [name for name in names if name.startswith("sessions/") or name == _PREVIOUS]
        _each([partial(self._get, name, self.folder / name) for name in few], events)
        there = self._pieces(names)
        for path in self._journal.glob("*.journal"):
            there.setdefault(int(path.name[:5]), {})  # it may be here alone
        for shard, of_segments in there.items():
            if seal_path(self._sealed, shard).exists():
                self._delete([name for name in names if name.startswith(f"journal/{shard:05d}/")])
            else:
                self._restore_shard(shard, of_segments)
            events.stop.check()

    def glance(self) -> None:
        """Gets what tells how far the run is, without its outcomes."""
        names = self._names("")
        plan = self._latest_plan(names)
        if plan is None:
            return
        self._make_folders()
        for name in (_RUN, _PLAN):
            self._get_planned(plan[1], name, make_folder(self.folder / "plan"))
        there = self._pieces(names)
        for name in names:
            if name.endswith(".seal"):
                (self.folder / name).touch()
                there.pop(int(name[7:12]), None)
        for shard, of_segments in there.items():
            self._restore_shard(shard, of_segments)

    def _make_folders(self) -> None:
        for folder in (self._journal, self._sealed, self.folder / "sessions"):
            make_folder(folder)

    def _restore_plan(self, plan: PlanFiles, events: RunEvents) -> None:
        folder = self.folder / "plan"
        own = folder / _PLAN
        if (self.folder / _RUN).exists() and own.exists() and sha256_of(own) == plan.digest:
            return
        making = self.folder / "plan.restored"
        shutil.rmtree(making, ignore_errors=True)
        make_folder(making)
        names = [name for name, _, _ in plan.files]
        _each([partial(self._get_planned, plan, name, making) for name in names], events)
        shutil.rmtree(folder, ignore_errors=True)
        with translated("restore", folder):
            making.rename(folder)

    def _get_planned(self, plan: PlanFiles, name: str, folder: Path) -> None:
        place = self.folder if name == _RUN else folder
        self._get(f"plan/{plan.folder}/{name}", place / name)

    def _restore_seals(self, names: list[str], events: RunEvents) -> None:
        """Gets seals with their outcomes; hands in those that a killed process left here."""
        for path in sorted(self._sealed.glob("*.seal")):
            if f"sealed/{path.name}" not in names:
                self.keep_seal(int(path.stem))
        seals = [name for name in names if name.endswith(".seal")]
        _each([partial(self._restore_seal, name) for name in seals], events)

    def _restore_seal(self, name: str) -> None:
        path = self.folder / name
        content = self._store.read(self._prefix + name)
        if path.exists() and path.read_bytes() == content:
            return
        # Its outcomes first: a seal without them is damage.
        making = _making(path)
        write_atomically(making, content)
        outcomes = sealed_path(path.parent, int(path.stem), read_record(making, Seal).epoch)
        outcomes.unlink(missing_ok=True)  # sealed here alone, by nobody's leave
        self._get(f"sealed/{outcomes.name}", outcomes)
        with translated("restore", path):
            making.rename(path)

    def _restore_shard(self, shard: int, there: Mapping[int, list[int]]) -> None:
        """Makes the segments of the shard the same here and in the bucket."""
        for segment, numbers in sorted(there.items()):
            self._restore_segment(shard, segment, sorted(numbers))
        for path in segments(self._journal, shard):
            if (segment := int(path.stem[6:])) not in there:
                self._hand_in(shard, segment, path, 0, 0)

    def _restore_segment(self, shard: int, segment: int, numbers: list[int]) -> None:
        if numbers != [*range(len(numbers))]:
            name = self._store.name(f"{self._prefix}journal/{shard:05d}/{segment:05d}")
            raise JournalError(
                f"{name}: pieces of the journal are missing, though later ones are there; nothing "
                "was changed: restore them (an older version of the bucket has them), or start "
                "afresh with --new-run"
            )
        self._known[shard, segment] = len(numbers)
        path = segment_path(self._journal, shard, segment)
        making = _making(path)
        keys = [self._prefix + _piece(shard, segment, piece) for piece in numbers]
        with (
            translated("restore", path),
            BufferedWriter(open_private(making, os.O_TRUNC)) as file,
            ThreadPoolExecutor(_AT_ONCE) as pool,
        ):
            for content in pool.map(self._store.read, keys):
                file.write(content)
            size = file.tell()
        with translated("restore", path):
            if not path.exists():
                making.rename(path)
                return
            here = path.stat().st_size
            if _begins_alike(path, making, min(here, size)):
                if here >= size:
                    making.unlink()
                    self._hand_in(shard, segment, path, len(numbers), size)
                else:
                    making.rename(path)
                return
            # It was made without the bucket, as another machine made one of this name.
            other = next_number(self._journal, shard)
            path.rename(segment_path(self._journal, shard, other))
            making.rename(path)

    def _hand_in(self, shard: int, segment: int, path: Path, piece: int, begin: int) -> None:
        """Keeps what the segment here has more than the bucket, in whole lines."""
        with translated("read", path), path.open("rb") as file:
            file.seek(begin)
            content = file.read()
        if content := content[: content.rfind(b"\n") + 1]:
            self.keep(shard, segment, piece, content)

    # --- objects --------------------------------------------------------------------------------

    def _latest_plan(self, names: Iterable[str] | None = None) -> tuple[int, PlanFiles] | None:
        found = self._names("plans") if names is None else names
        numbers = [int(name[6:10]) for name in found if name.startswith("plans/")]
        if not numbers:
            return None
        content = self._store.read(f"{self._prefix}plans/{max(numbers):04d}.json")
        return max(numbers), msgspec.json.decode(content, type=PlanFiles)

    def _names(self, below: str) -> list[str]:
        """Names of the run's objects in a folder of it."""
        found = self._store.keys(f"{self._prefix}{below}".rstrip("/"))
        return [item.key[len(self._prefix) :] for item in found]

    @staticmethod
    def _pieces(names: Iterable[str]) -> defaultdict[int, dict[int, list[int]]]:
        """The numbers of the pieces among the names, by shard and segment."""
        found: defaultdict[int, dict[int, list[int]]] = defaultdict(dict)
        for name in names:
            if name.startswith("journal/"):
                shard, segment, piece = map(int, name.split("/")[1:])
                found[shard].setdefault(segment, []).append(piece)
        return found

    def _put_new(self, name: str, content: bytes | Path) -> bool:
        if isinstance(content, Path):
            with translated("read", content):
                digest = sha256_of(content)
        else:
            digest = sha256(content).hexdigest()
        return self._store.put_new(self._prefix + name, content, digest)

    def _send(self, name: str, path: Path) -> None:
        """Keeps a file, unless one of its name is there: the first one stays."""
        self._put_new(name, path)

    def _create(self, name: str, content: bytes) -> None:
        self._put_new(name, content)

    def _get(self, name: str, path: Path) -> None:
        """Gets the object, whole or not at all, unless its file is there."""
        if not path.exists():
            _, chunks = self._store.get(self._prefix + name)
            with atomic_write(path) as file:
                for chunk in chunks:
                    file.write(chunk)

    def _delete(self, names: Iterable[str]) -> None:
        for some in batched([self._prefix + name for name in names]):
            self._store.delete(*some)


def _making(path: Path) -> Path:
    """Where a file is made; a folder is swept clear of its like."""
    return path.with_name(f".{path.name}.00000000.tmp")


def _piece(shard: int, segment: int, piece: int) -> str:
    return f"journal/{shard:05d}/{segment:05d}/{piece:08d}"


def batched(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """The keys, as many at once as a request may delete."""
    for first in range(0, len(keys), _DELETED_AT_ONCE):
        yield keys[first : first + _DELETED_AT_ONCE]


def _each(calls: Sequence[Callable[[], None]], events: RunEvents | None = None) -> None:
    """Makes the calls, some at a time; the first error is raised."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        made = [pool.submit(call) for call in calls]
        try:
            for each in made:
                each.result()
                if events is not None:
                    events.stop.check()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _begins_alike(one: Path, other: Path, size: int) -> bool:
    """Whether the first ``size`` bytes of both files are the same."""
    with one.open("rb") as first, other.open("rb") as second:
        while size > 0:
            count = min(size, _COMPARED_BYTES)
            if first.read(count) != second.read(count):
                return False
            size -= count
    return True
