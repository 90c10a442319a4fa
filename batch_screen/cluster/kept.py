"""What a bucket keeps of a run: objects by their names, and what of them is damaged or missing.

Other names are nobody's, and looked over.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from pathlib import Path

import msgspec

from batch_screen.errors import JournalError
from batch_screen.journal.seal import Seal, sealed_path
from batch_screen.runs.events import RunEvents
from batch_screen.storage.atomic import atomic_write, sha256_of, translated
from batch_screen.storage.objects import ObjectStore, StoredObject
from batch_screen.storage.reading import decoded
from batch_screen.storage.records import record_in

AT_ONCE = 16
_DELETED_AT_ONCE = 1_000

RUN, PLAN, COMPLETE = "run.json", "plan.json", "complete"

_PIECE = re.compile(r"journal/([0-9]{5})/([0-9]{5})/([0-9]{8})")
_SEAL = re.compile(r"sealed/([0-9]{5})\.seal")
_PLANS = re.compile(r"plans/([0-9]{4})\.json")
_RECORD = re.compile(r"sessions/[0-9]{4,}\.json|previous\.json")


class PlanFiles(msgspec.Struct, frozen=True):
    """The files of a run and its plan in a folder of the bucket: name, size and digest of each."""

    folder: str
    files: list[tuple[str, int, str]]

    @property
    def digest(self) -> str:
        """That of plan.json, which has those of the others."""
        return next(sha for name, _, sha in self.files if name == PLAN)

    def is_whole(self, sizes: Mapping[str, int]) -> bool:
        """Whether all of them are among the names, with their sizes."""
        sized = {f"plan/{self.folder}/{name}": size for name, size, _ in self.files}
        needed = {f"plan/{self.folder}/{name}" for name in (RUN, PLAN)}
        is_odd = any("/" in name for name, _, _ in self.files)  # which would lead out of the folder
        return needed <= sized.keys() and sized.items() <= sizes.items() and not is_odd


def piece_name(shard: int, segment: int, piece: int) -> str:
    """What a piece of the journal is called."""
    return f"journal/{shard:05d}/{segment:05d}/{piece:08d}"


def seal_name(shard: int) -> str:
    """What a shard's seal is called."""
    return f"sealed/{shard:05d}.seal"


def plan_name(number: int) -> str:
    """What the list of a plan's files is called."""
    return f"plans/{number:04d}.json"


def pieces(names: Iterable[str]) -> defaultdict[int, dict[int, list[int]]]:
    """The numbers of the pieces among the names, by shard and segment."""
    found: defaultdict[int, dict[int, list[int]]] = defaultdict(dict)
    for match in filter(None, map(_PIECE.fullmatch, names)):
        shard, segment, piece = map(int, match.groups())
        found[shard].setdefault(segment, []).append(piece)
    return found


def sealed_shards(names: Iterable[str]) -> set[int]:
    """The shards whose seal is among the names."""
    return {int(match[1]) for match in map(_SEAL.fullmatch, names) if match}


def latest_number(names: Iterable[str]) -> int | None:
    """The number of the plan that counts; None: there is none."""
    return max((int(match[1]) for match in map(_PLANS.fullmatch, names) if match), default=None)


def records(names: Iterable[str]) -> list[str]:
    """The records of sessions, and the one of the run that changes are counted from."""
    return [name for name in names if _RECORD.fullmatch(name)]


def is_begun(names: Iterable[str]) -> bool:
    """Whether something may have been asked."""
    return any(_PIECE.fullmatch(name) or _SEAL.fullmatch(name) for name in names)


class KeptRun:
    """A run's objects in the bucket, by their names below its prefix."""

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self._store, self._prefix = store, prefix

    def sizes(self, items: Iterable[StoredObject]) -> dict[str, int]:
        """The names of the run's objects, with their sizes."""
        return {item.key[len(self._prefix) :]: item.bytes for item in items}

    def names(self, below: str) -> dict[str, int]:
        """As ``sizes``, of those in a folder of it."""
        return self.sizes(self._store.keys(f"{self._prefix}{below}".rstrip("/")))

    def shown(self, name: str) -> str:
        """What messages call the object."""
        return self._store.name(self._prefix + name)

    def has(self, name: str) -> bool:
        return self._store.head(self._prefix + name) is not None

    def read(self, name: str) -> bytes:
        return self._store.read(self._prefix + name)

    def put_new(self, name: str, content: bytes | Path) -> bool:
        """Creates the object; False where it was there, and stays."""
        if isinstance(content, Path):
            with translated("read", content):
                digest = sha256_of(content)
        else:
            digest = sha256(content).hexdigest()
        return self._store.put_new(self._prefix + name, content, digest)

    def send(self, name: str, content: bytes | Path) -> None:
        """Keeps a file, unless one of its name is there: the first one stays."""
        self.put_new(name, content)

    def get(self, name: str, path: Path) -> None:
        """Gets the object, whole or not at all, unless its file is there."""
        if not path.exists():
            _, chunks = self._store.get(self._prefix + name)
            with atomic_write(path) as file:
                for chunk in chunks:
                    file.write(chunk)

    def delete(self, names: Iterable[str]) -> None:
        keys = [self._prefix + name for name in names]
        for first in range(0, len(keys), _DELETED_AT_ONCE):
            self._store.delete(*keys[first : first + _DELETED_AT_ONCE])

    # --- read, and refused with ``JournalError`` where it is damaged -----------------------------

    def latest_plan(self, names: Iterable[str]) -> tuple[int, PlanFiles] | None:
        """The plan that counts, and its number; None: there is none."""
        if (number := latest_number(names)) is None:
            return None
        try:
            return number, decoded(self.read(plan_name(number)), PlanFiles)
        except ValueError as error:
            raise self._lost(plan_name(number), "it is damaged") from error

    def whole_plan(self, sizes: Mapping[str, int]) -> PlanFiles | None:
        """The plan that counts, if there is one; none of its files is missing."""
        found = self.latest_plan(sizes)
        if found is None and (COMPLETE in sizes or not is_begun(sizes)):
            return None  # a start was killed while it planned, or a removal
        if found is None or not found[1].is_whole(sizes):
            raise self._lost("plan", "files of the plan are missing")
        return found[1]

    def read_seals(
        self, sizes: Mapping[str, int], events: RunEvents
    ) -> dict[int, tuple[bytes, str]]:
        """The shards' seals, each with the name of its outcomes, which are there."""
        found: dict[int, tuple[bytes, str]] = {}

        def read(shard: int) -> None:
            content = self.read(seal_name(shard))
            try:
                outcomes = sealed_path(Path("sealed"), shard, record_in(content, Seal).epoch)
            except ValueError as error:
                raise self._lost(seal_name(shard), "it is damaged") from error
            if str(outcomes) not in sizes:
                raise self._lost(str(outcomes), "it is missing, though its seal is there")
            found[shard] = content, str(outcomes)

        each([partial(read, shard) for shard in sealed_shards(sizes)], events)
        return found

    def refuse_gap(self, shard: int, segment: int, numbers: Iterable[int]) -> None:
        """Raises ``JournalError`` unless the segment's pieces are in a row."""
        if any(number != at for at, number in enumerate(sorted(numbers))):
            name = f"journal/{shard:05d}/{segment:05d}"
            what = "pieces of the journal are missing, though later ones are there"
            raise self._lost(name, what)

    def _lost(self, name: str, what: str) -> JournalError:
        return JournalError(
            f"{self.shown(name)}: {what}; nothing was changed: restore it (an older version of the "
            "bucket has it), or start that list afresh with --new-run"
        )


def each(calls: Sequence[Callable[[], None]], events: RunEvents | None = None) -> None:
    """Makes the calls, some at a time; the first error is raised."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        made = [pool.submit(call) for call in calls]
        try:
            for one in made:
                one.result()
                if events is not None:
                    events.stop.check()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
