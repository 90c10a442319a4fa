"""Group commit: one sync for all records noted within 20 ms, in a thread of its own.

The event loop never waits for the disk. A record counts only after ``on_saved``. The first failure
ends all saving: a failed fsync cannot be repeated on Linux, and answers that cannot be saved must
no longer be bought.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Protocol

from batch_screen.journal.records import Record

COMMIT_SECONDS = 0.02
COMMIT_RECORDS = 256

Entry = tuple[int, Record]
_CLOSE: None = None


class JournalWriter(Protocol):
    """Where a process appends the records of its shards; ``segments`` has the one on disk."""

    def claim(self, shard: int) -> int:
        """The epoch of this process at the shard: no other has or will have the same."""

    def note(self, shard: int, *records: Record) -> None:
        """Makes the records survive this process. OSError: they may be lost."""

    def sync(self, shard: int) -> None:
        """Makes what was noted survive a power cut. OSError: none of it counts."""

    def close_shard(self, shard: int) -> None:
        """No more records of this shard follow."""

    def close(self) -> None:
        """No more records follow."""


class StateCopy(Protocol):
    """The state of a run in a bucket: what is on this machine alone does not count."""

    commit_seconds: float
    """How long records wait for others: each commit is a request that costs money."""

    @property
    def is_held(self) -> bool:
        """Whether this machine still has the run for itself, and may ask."""

    def writer(self) -> JournalWriter:
        """Where records are saved."""

    def may_seal(self, shard: int) -> bool:
        """Gets what an earlier owner of the shard has saved late; False: it has another owner."""

    def keep_seal(self, shard: int) -> None:
        """Keeps the outcomes of a shard that is sealed, and their seal."""


class GroupCommit:
    """Syncs noted (shard, record) entries in the background, in their order.

    Entries come from one thread. ``on_saved`` gets each synced batch and ``on_failure`` the first
    error; both are called from the saving thread.
    """

    def __init__(
        self,
        writer: JournalWriter,
        *,
        on_saved: Callable[[list[Entry]], None],
        on_failure: Callable[[Exception], None],
        most_records: int = COMMIT_RECORDS,
        wait_seconds: float = 0.0,
    ) -> None:
        """``most_records``: so many waiting entries are synced at once.

        ``wait_seconds``: so long fewer of them wait for others, where each sync costs money.
        """
        self._wait_seconds = wait_seconds
        self._writer = writer
        self._on_saved = on_saved
        self._on_failure = on_failure
        self._most_records = most_records
        self._queue: SimpleQueue[list[Entry] | None] = SimpleQueue()
        # Each is counted up by one thread alone: how many came, and how many are being saved.
        self._appended = self._taken = 0
        self._is_saving = False
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._save_all, name="journal", daemon=True)
        self._thread.start()

    def append(self, entries: list[Entry]) -> None:
        """Queues noted records for the next commit; does not wait."""
        self._queue.put(entries)
        self._appended += len(entries)
        if self._appended - self._taken >= self._most_records and not self._hurry.is_set():
            self._hurry.set()

    def hurry(self) -> None:
        """Commits at once; what is being saved may be enough for now, and is waited for first."""
        if not self._is_saving:  # or the few that came meanwhile would have a commit of their own
            self._hurry.set()

    def close(self) -> None:
        """Waits until all entries are saved, or the first failure was reported."""
        self._queue.put(_CLOSE)
        self._hurry.set()
        self._thread.join()
        self._writer.close()

    def _save_all(self) -> None:
        is_open = True
        while is_open:
            batches = [self._queue.get()]
            self._hurry.wait(max(COMMIT_SECONDS, self._wait_seconds))
            self._hurry.clear()
            # All that waits, however much: a slow disk makes larger commits, not a longer queue.
            with suppress(Empty):
                while True:
                    batches.append(self._queue.get_nowait())
            is_open = _CLOSE not in batches
            entries = [entry for batch in batches if batch is not _CLOSE for entry in batch]
            self._taken += len(entries)
            self._is_saving = True
            try:
                for shard in {shard for shard, _ in entries}:
                    self._writer.sync(shard)
                self._is_saving = False  # before the loop is woken, which may hurry it again
                self._on_saved(entries)
            except Exception as error:  # noqa: BLE001 (this thread must not die in silence)
                self._on_failure(error)
                return
