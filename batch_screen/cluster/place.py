"""A run's place in the bucket, and its folder here: what either has, the other gets.

A segment of the journal lies there in pieces, one for each commit. What is there counts: a start
gets what it lacks, and first hands in what a killed process has left here.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from hashlib import sha256
from io import BufferedWriter
from pathlib import Path

import msgspec

from batch_screen.cluster.reign import Follower, Ruler
from batch_screen.errors import BatchScreenError, JournalError
from batch_screen.journal.pieces import PieceWriter
from batch_screen.journal.seal import Seal, seal_path, sealed_outcomes, sealed_path
from batch_screen.journal.segments import next_number, segment_path, segments, shards_with_segments
from batch_screen.journal.writer import JournalWriter
from batch_screen.runs.events import RunEvents
from batch_screen.runs.state import Run
from batch_screen.storage.atomic import (
    atomic_write,
    make_folder,
    open_private,
    sha256_of,
    translated,
    write_atomically,
)
from batch_screen.storage.objects import ObjectStore, StoredObject
from batch_screen.storage.reading import open_regular, read_bytes
from batch_screen.storage.records import read_record

COMMIT_SECONDS = 0.2
"""A commit is a request that costs money: at 100 a second, four an outcome would be twice it."""
_AT_ONCE = 16
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
        paths = [run.folder / _RUN, *sorted(run.plan.iterdir())]
        files = [(path.name, path.stat().st_size, sha256_of(path)) for path in paths]
        plan, found = PlanFiles(secrets.token_hex(8), files), self._latest_plan()
        if found is not None and found[1].digest == plan.digest:
            return
        _each([partial(self._send, f"plan/{plan.folder}/{path.name}", path) for path in paths])
        number = found[0] + 1 if found else 0
        self._send(f"plans/{number:04d}.json", msgspec.json.encode(plan))
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
        self._send("complete", b"")

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
        with translated("read", path):
            if path.exists() and read_bytes(path) == content:
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
        with translated("read", path), open_regular(path) as file:
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

    def _send(self, name: str, content: bytes | Path) -> None:
        """Keeps a file, unless one of its name is there: the first one stays."""
        self._put_new(name, content)

    def _get(self, name: str, path: Path) -> None:
        """Gets the object, whole or not at all, unless its file is there."""
        if not path.exists():
            _, chunks = self._store.get(self._prefix + name)
            with atomic_write(path) as file:
                for chunk in chunks:
                    file.write(chunk)

    def _delete(self, names: Iterable[str]) -> None:
        keys = [self._prefix + name for name in names]
        for first in range(0, len(keys), _DELETED_AT_ONCE):
            self._store.delete(*keys[first : first + _DELETED_AT_ONCE])


def _making(path: Path) -> Path:
    """Where a file is made; a folder is swept clear of its like."""
    return path.with_name(f".{path.name}.00000000.tmp")


def _piece(shard: int, segment: int, piece: int) -> str:
    return f"journal/{shard:05d}/{segment:05d}/{piece:08d}"


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
    with open_regular(one) as first, open_regular(other) as second:
        while size > 0:
            count = min(size, _COMPARED_BYTES)
            if first.read(count) != second.read(count):
                return False
            size -= count
    return True
