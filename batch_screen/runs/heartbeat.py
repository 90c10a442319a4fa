"""Heartbeat of a running process: its stage and pace in a small file, for ``status`` to read.

Replaced every few seconds while the run advances, and removed at its end. Nothing depends on it:
one that a killed process left behind shows its age.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from time import monotonic

import msgspec

from batch_screen.model import ContractPace, Contracts, Instant
from batch_screen.runs.events import Progress, RunEvents
from batch_screen.storage.atomic import open_private
from batch_screen.storage.reading import read_json

_NAME = "progress.json"
_EVERY_SECONDS = 2.0
_LATELY_SECONDS = 60.0


class Heartbeat(msgspec.Struct, frozen=True):
    """A run's stage, how much of it is done, and its pace over the last minute.

    ``run_id`` is empty until the run is identified, ``total`` None where the amount of work is not
    known. ``at`` is the time of writing, when something had advanced.
    """

    pid: int
    at: Instant
    stage: str
    done: int
    total: int | None
    per_second: float
    run_id: str = ""
    contracts: Contracts = msgspec.UNSET

    @property
    def seconds_left(self) -> float | None:
        """Estimated time for the rest of the stage; None without a total or a pace."""
        if self.total is None or not self.per_second:
            return None
        left = max(0, self.total - self.done) / self.per_second
        return left if isfinite(left) else None

    def age_seconds(self, now: datetime) -> float:
        """Seconds since it was written."""
        return max(0.0, (now - self.at).total_seconds())


def read_heartbeat(state_folder: Path) -> Heartbeat | None:
    """The last heartbeat, or None if the file is missing or unreadable."""
    try:
        return read_json(state_folder / _NAME, Heartbeat)
    except (OSError, ValueError):  # msgspec's errors are ValueErrors; half a file after a power cut
        return None


class HeartbeatWriter:
    """A ``Progress`` that passes events on and writes the heartbeat file.

    Writes in a thread of its own, so that a slow disk never delays the run.
    """

    def __init__(
        self, progress: Progress, state_folder: Path, clock: Callable[[], float] = monotonic
    ) -> None:
        self._progress = progress
        self._path = state_folder / _NAME
        self._clock = clock
        self._run_id = ""
        self._contracts: Contracts = msgspec.UNSET
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._begin("", None, 0)
        # A daemon: a process that ends without ``end`` must not wait for it.
        self._thread = threading.Thread(target=self._keep, name="progress", daemon=True)
        self._thread.start()

    def identify(self, run_id: str) -> None:
        """Records the run's id in all later heartbeats."""
        self._run_id = run_id

    def contracts(self, paces: dict[str, ContractPace]) -> None:
        """Records the figures of each contract in all later heartbeats."""
        self._contracts = paces

    def stage(self, name: str, *, total: int | None = None, done: int = 0) -> None:
        self._progress.stage(name, total=total, done=done)
        with self._lock:
            self._begin(name, total, done)
            self._write()

    def advance(self, count: int) -> None:
        self._progress.advance(count)
        self._done += count

    def note(self, message: str) -> None:
        self._progress.note(message)

    def close(self) -> None:
        self._progress.close()

    def beat(self) -> None:
        """Writes the file if the run has advanced: an old file means a stalled run."""
        with self._lock:
            if self._done != self._written:
                self._write()

    def end(self) -> None:
        """Removes the file."""
        self._ended.set()
        self._thread.join()
        with suppress(OSError):
            self._path.unlink()

    def _keep(self) -> None:
        while not self._ended.wait(_EVERY_SECONDS):
            self.beat()

    def _begin(self, stage: str, total: int | None, done: int) -> None:
        self._stage, self._total, self._done = stage, total, done
        self._written = done
        self._seen = deque([(self._clock(), done)])

    def _write(self) -> None:
        # ``advance`` takes no lock, so what is done is read once.
        now, self._written = self._clock(), self._done
        self._seen.append((now, self._written))
        while len(self._seen) > 2 and now - self._seen[0][0] > _LATELY_SECONDS:
            self._seen.popleft()
        since, done = self._seen[0]
        pace = (self._written - done) / (now - since) if now > since else 0.0
        heartbeat = Heartbeat(
            os.getpid(),
            datetime.now(UTC),
            self._stage,
            self._written,
            self._total,
            round(pace, 3),
            self._run_id,
            self._contracts,
        )
        temporary = self._path.with_name(f".{_NAME}.{secrets.token_hex(4)}.tmp")
        # Not synced: a synced write every two seconds would cost the event loop its rhythm. And a
        # full disk ends the run where it saves answers, not here.
        with suppress(OSError):
            try:
                with open_private(temporary) as file:
                    file.write(msgspec.json.encode(heartbeat))
                temporary.replace(self._path)
            except OSError:
                temporary.unlink(missing_ok=True)
                raise


@contextmanager
def beating(events: RunEvents, state_folder: Path) -> Iterator[RunEvents]:
    """The same events, which also write the heartbeat file for other processes."""
    heartbeat = HeartbeatWriter(events.progress, state_folder)

    def on_run(run_id: str) -> None:
        events.on_run(run_id)
        heartbeat.identify(run_id)

    try:
        yield RunEvents(heartbeat, events.stop, on_run, heartbeat.contracts)
    finally:
        heartbeat.end()
