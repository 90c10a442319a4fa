"""What the process that holds a state folder is doing just now, for others to read.

A small file that is replaced every few seconds while something advances, and removed in the
end. Nothing rests on it: it is not synced, and what a killed process leaves is old by its date.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import msgspec

from batch_screen.runs.events import Progress
from batch_screen.storage.atomic import open_private

_NAME = "progress.json"
_EVERY_SECONDS = 2.0
_LATELY_SECONDS = 60.0


class Heartbeat(msgspec.Struct, frozen=True):
    """A stage, how much of it is done, and how fast it has gone for the last minute.

    ``run_id`` is empty while it is not known yet which run it is; ``total`` None: it is not known
    how much there is. ``at`` is when this was written: something advanced then.
    """

    pid: int
    at: datetime
    stage: str
    done: int
    total: int | None
    per_second: float
    run_id: str = ""

    @property
    def seconds_left(self) -> float | None:
        """How long the rest of the stage takes at that pace; None: that cannot be said."""
        if self.total is None or not self.per_second:
            return None
        return max(0, self.total - self.done) / self.per_second

    def age_seconds(self, now: datetime) -> float:
        """How long ago it was written."""
        return max(0.0, (now - self.at).total_seconds())


def read_heartbeat(state_folder: Path) -> Heartbeat | None:
    """What was written last, or None where there is nothing that can be read."""
    try:
        return msgspec.json.decode((state_folder / _NAME).read_bytes(), type=Heartbeat)
    except (OSError, ValueError):  # msgspec's errors are ValueErrors; half a file after a power cut
        return None


class HeartbeatWriter:
    """Passes a run's progress on to another one, and keeps the file while it does.

    A thread of its own writes it, so that a slow disk never holds up who tells of progress.
    """

    def __init__(
        self, told: Progress, state_folder: Path, clock: Callable[[], float] = monotonic
    ) -> None:
        self._told = told
        self._path = state_folder / _NAME
        self._clock = clock
        self._run_id = ""
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._begin("", None, 0)
        self._thread = threading.Thread(target=self._keep, name="progress", daemon=True)
        self._thread.start()

    def of(self, run_id: str) -> None:
        """From now on it is known which run it is."""
        self._run_id = run_id

    def stage(self, name: str, *, total: int | None = None, done: int = 0) -> None:
        self._told.stage(name, total=total, done=done)
        with self._lock:
            self._begin(name, total, done)
            self._write()

    def advance(self, count: int) -> None:
        self._told.advance(count)
        self._done += count

    def note(self, message: str) -> None:
        self._told.note(message)

    def close(self) -> None:
        self._told.close()

    def beat(self) -> None:
        """Writes how far it is if that has changed: an old file says that nothing advances."""
        with self._lock:
            if self._done != self._written:
                self._write()

    def end(self) -> None:
        """Removes the file: nothing is under way."""
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
        now, self._written = self._clock(), self._done
        self._seen.append((now, self._written))
        while len(self._seen) > 2 and now - self._seen[0][0] > _LATELY_SECONDS:
            self._seen.popleft()
        since, done = self._seen[0]
        pace = (self._written - done) / (now - since) if now > since else 0.0
        told = Heartbeat(
            os.getpid(),
            datetime.now(UTC),
            self._stage,
            self._written,
            self._total,
            round(pace, 3),
            self._run_id,
        )
        growing = self._path.with_name(f".{_NAME}.{secrets.token_hex(4)}.tmp")
        with suppress(OSError):  # a full disk ends the run where it saves what counts, not here
            try:
                with open_private(growing) as file:
                    file.write(msgspec.json.encode(told))
                growing.replace(self._path)
            except OSError:
                growing.unlink(missing_ok=True)
                raise
