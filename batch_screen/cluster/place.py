"""A run's place in the bucket, and its folder here: what either has, the other gets.

A segment of the journal lies there in pieces, one for each commit. What is there counts: a start
gets what it lacks, and first hands in what a killed process has left here.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from io import BufferedWriter
from pathlib import Path

import msgspec

from batch_screen.cluster.kept import (
    AT_ONCE,
    COMPLETE,
    PLAN,
    RUN,
    KeptRun,
    PlanFiles,
    each,
    is_begun,
    latest_number,
    piece_name,
    pieces,
    plan_name,
    records,
    seal_name,
    sealed_shards,
)
from batch_screen.cluster.reign import Follower, Ruler
from batch_screen.errors import BatchScreenError, JournalError, OutputError
from batch_screen.journal.pieces import PieceWriter
from batch_screen.journal.seal import seal_path, sealed_outcomes
from batch_screen.journal.segments import next_number, segment_path, segments, shards_with_segments
from batch_screen.journal.writer import JournalWriter
from batch_screen.planning.opt_outs import opt_outs_path
from batch_screen.runs.events import RunEvents
from batch_screen.runs.state import Run, read_run
from batch_screen.storage.atomic import (
    make_folder,
    open_private,
    sha256_of,
    translated,
    write_atomically,
)
from batch_screen.storage.objects import ObjectStore, StoredObject
from batch_screen.storage.reading import open_regular, read_bytes

COMMIT_SECONDS = 0.2
"""A commit is a request that costs money: at 100 a second, four an outcome would be twice it."""
_PREVIOUS = "previous.json"
_COMPARED_BYTES = 1 << 20


class RunPlace:
    """A run in the bucket, and its folder here: a ``StateCopy``, and ``Pieces`` of its journal."""

    commit_seconds = COMMIT_SECONDS

    def __init__(
        self, store: ObjectStore, prefix: str, folder: Path, ruler: Ruler | Follower | None
    ) -> None:
        self._kept, self.folder, self._ruler = KeptRun(store, prefix), folder, ruler
        self._journal, self._sealed = folder / "journal", folder / "sealed"
        self._known: Counter[tuple[int, int]] = Counter()
        """How many pieces of a shard's segments are known here."""

    # --- what is kept ---------------------------------------------------------------------------

    def keep_plan(self, run: Run) -> None:
        """Keeps the run and its plan, if it is not the one there; an earlier plan goes."""
        paths = [run.folder / RUN, *sorted(run.plan.iterdir())]
        files = [(path.name, path.stat().st_size, sha256_of(path)) for path in paths]
        plan, names = PlanFiles(secrets.token_hex(8), files), self._kept.names("")
        found = self._kept.latest_plan(names)
        if found is not None and found[1].digest == plan.digest:
            return
        if not found:  # a removal that was killed may have left answers of an earlier run
            self._kept.delete(names)
        each([partial(self._kept.send, f"plan/{plan.folder}/{path.name}", path) for path in paths])
        number = found[0] + 1 if found else 0
        self._kept.send(plan_name(number), msgspec.json.encode(plan))
        if found:  # it may hold people who have objected since
            self._kept.delete(name for name in names if name.startswith("plan/"))
        else:  # it may have been begun without a bucket
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
                self._kept.send(str(path.relative_to(self.folder)), path)

    def complete(self) -> None:
        """Notes that the run's output is written."""
        self.keep_records()
        self._kept.send(COMPLETE, b"")

    def is_open(self) -> bool:
        """Whether it is there, and nothing says there that its output is written."""
        names = self._kept.names("")
        return latest_number(names) is not None and COMPLETE not in names

    def remove(self) -> None:
        """Removes all of it; what makes it a run goes first, so that none is half there.

        What says that it was complete goes last, so that the next purge goes on.
        """
        names = self._kept.names("")
        first = [name for name in names if name.startswith("plans/")]
        last = [name for name in names if name == COMPLETE]
        for some in (first, names.keys() - {*first, *last}, last):
            self._kept.delete(some)

    # --- the journal, for the engine ------------------------------------------------------------

    @property
    def is_held(self) -> bool:
        return self._ruler is None or self._ruler.is_held

    def writer(self) -> JournalWriter:
        return PieceWriter(self._journal, self.folder.name, self)

    def claim(self, shard: int, header: bytes) -> int:
        """Creates the first piece of a segment that nobody has; its number is the epoch."""
        known = pieces(self._kept.names(f"journal/{shard:05d}"))[shard]
        number = max(next_number(self._journal, shard), max(known, default=-1) + 1)
        while not self._kept.put_new(piece_name(shard, number, 0), header):
            number += 1
        self._known[shard, number] = 1
        return number

    def keep(self, shard: int, segment: int, piece: int, content: bytes) -> None:
        key = piece_name(shard, segment, piece)
        if not self._kept.put_new(key, content):
            raise JournalError(
                f"{self._kept.shown(key)} is there and was not written by this process; nothing "
                "was changed: start the same command again"
            )
        self._known[shard, segment] = piece + 1

    def may_seal(self, shard: int) -> bool:
        # An earlier owner may have saved answers since the shard's journal was read.
        for segment, numbers in pieces(self._kept.names(f"journal/{shard:05d}"))[shard].items():
            if len(numbers) != self._known[shard, segment]:
                self._restore_segment(shard, segment, sorted(numbers))
        return self.is_held

    def keep_seal(self, shard: int) -> None:
        outcomes = sealed_outcomes(self._sealed, self.folder.name, shard)
        for path in (outcomes, seal_path(self._sealed, shard)):
            self._kept.send(f"sealed/{path.name}", path)
        with suppress(BatchScreenError):  # what is left is removed by the next start
            self._kept.delete(self._kept.names(f"journal/{shard:05d}"))

    # --- what a start gets ----------------------------------------------------------------------

    def was_completed(self) -> bool:
        """Whether its output was written."""
        return self._kept.has(COMPLETE)

    def is_complete(self, items: Iterable[StoredObject]) -> bool:
        return COMPLETE in self._kept.sizes(items)

    def restore(self, items: list[StoredObject], events: RunEvents) -> None:
        """Hands in what is here alone, and gets what is there alone, of a run that has a plan.

        Raises ``JournalError`` over damage there, before anything is made here.
        """
        sizes = self._kept.sizes(items)
        plan = self._kept.whole_plan(sizes)
        if plan is None:  # a start was killed while it planned
            return
        there, seals = pieces(sizes), self._kept.read_seals(sizes, events)
        for shard in there.keys() - seals.keys():
            if not seal_path(self._sealed, shard).exists():
                for segment, numbers in there[shard].items():
                    self._kept.refuse_gap(shard, segment, numbers)
        self._make_folders()
        self._restore_plan(plan, events)
        self._restore_seals(seals, events)
        few = records(sizes)
        each([partial(self._kept.get, name, self.folder / name) for name in few], events)
        for shard in shards_with_segments(self._journal):
            there.setdefault(shard, {})  # it may be here alone
        for shard, of_segments in there.items():
            if seal_path(self._sealed, shard).exists():
                self._kept.delete(n for n in sizes if n.startswith(f"journal/{shard:05d}/"))
            else:
                self._restore_shard(shard, of_segments)
            events.stop.check()

    def glance(self) -> None:
        """Gets what tells how far the run is, without its outcomes."""
        sizes = self._kept.names("")
        plan = self._kept.whole_plan(sizes)
        if plan is None:
            return
        self._make_folders()
        for name in (RUN, PLAN):
            self._get_planned(plan, name, make_folder(self.folder / "plan"))
        there, sealed = pieces(sizes), sealed_shards(sizes)
        for shard in there.keys() - sealed:
            try:
                self._restore_shard(shard, there[shard])
            except (JournalError, OutputError):
                # It may have been sealed since: then its pieces are gone.
                if not self._kept.has(seal_name(shard)):
                    raise
                sealed.add(shard)
        for shard in sealed:
            seal_path(self._sealed, shard).touch()

    def outline(self) -> bool:
        """Gets what tells which run it is, of one that is damaged; whether that is whole."""
        sizes = self._kept.names("")
        with suppress(JournalError):
            plan = self._kept.latest_plan(sizes)
            needed = {RUN, PLAN, opt_outs_path(Path()).name}
            few = [file for file in plan[1].files if file[0] in needed] if plan else []
            if plan and msgspec.structs.replace(plan[1], files=few).is_whole(sizes):
                self._make_folders()
                for name, _, _ in few:
                    self._get_planned(plan[1], name, make_folder(self.folder / "plan"))
                if is_begun(sizes) and COMPLETE not in sizes:
                    (self._sealed / "0").touch()  # to ``Run``, that something was bought
                run = read_run(self.folder)
                return run is not None and bool(run.identity)
        shutil.rmtree(self.folder, ignore_errors=True)
        return False

    def _make_folders(self) -> None:
        for folder in (self._journal, self._sealed, self.folder / "sessions"):
            make_folder(folder)

    def _restore_plan(self, plan: PlanFiles, events: RunEvents) -> None:
        folder = self.folder / "plan"
        own = folder / PLAN
        with translated("read", own):
            if (self.folder / RUN).exists() and own.exists() and sha256_of(own) == plan.digest:
                return
        making = self.folder / "plan.restored"
        shutil.rmtree(making, ignore_errors=True)
        make_folder(making)
        names = [name for name, _, _ in plan.files]
        each([partial(self._get_planned, plan, name, making) for name in names], events)
        shutil.rmtree(folder, ignore_errors=True)
        with translated("restore", folder):
            making.rename(folder)

    def _get_planned(self, plan: PlanFiles, name: str, folder: Path) -> None:
        place = self.folder if name == RUN else folder
        self._kept.get(f"plan/{plan.folder}/{name}", place / name)

    def _restore_seals(self, seals: Mapping[int, tuple[bytes, str]], events: RunEvents) -> None:
        """Gets seals with their outcomes; hands in those that a killed process left here."""
        for path in sorted(self._sealed.glob("*.seal")):
            if int(path.stem) not in seals:
                self.keep_seal(int(path.stem))
        each([partial(self._restore_seal, n, *found) for n, found in seals.items()], events)

    def _restore_seal(self, shard: int, content: bytes, outcomes: str) -> None:
        path = seal_path(self._sealed, shard)
        with translated("read", path):
            if path.exists() and read_bytes(path) == content:
                return
        # Its outcomes first: a seal without them is damage.
        (self.folder / outcomes).unlink(missing_ok=True)  # sealed here alone, by nobody's leave
        self._kept.get(outcomes, self.folder / outcomes)
        write_atomically(path, content)

    def _restore_shard(self, shard: int, there: Mapping[int, list[int]]) -> None:
        """Makes the segments of the shard the same here and in the bucket."""
        for segment, numbers in sorted(there.items()):
            self._restore_segment(shard, segment, sorted(numbers))
        for path in segments(self._journal, shard):
            if (segment := int(path.stem[6:])) not in there:
                self._hand_in(shard, segment, path, 0, 0)

    def _restore_segment(self, shard: int, segment: int, numbers: list[int]) -> None:
        self._kept.refuse_gap(shard, segment, numbers)
        self._known[shard, segment] = len(numbers)
        path = segment_path(self._journal, shard, segment)
        making = _making(path)
        names = [piece_name(shard, segment, piece) for piece in numbers]
        with (
            translated("restore", path),
            BufferedWriter(open_private(making, os.O_TRUNC)) as file,
            ThreadPoolExecutor(AT_ONCE) as pool,
        ):
            for content in pool.map(self._kept.read, names):
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


def _making(path: Path) -> Path:
    """Where a file is made; a folder is swept clear of its like."""
    return path.with_name(f".{path.name}.00000000.tmp")


def _begins_alike(one: Path, other: Path, size: int) -> bool:
    """Whether the first ``size`` bytes of both files are the same."""
    with open_regular(one) as first, open_regular(other) as second:
        while size > 0:
            count = min(size, _COMPARED_BYTES)
            if first.read(count) != second.read(count):
                return False
            size -= count
    return True
