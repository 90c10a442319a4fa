"""Shows a run's progress on stderr: a bar on a terminal, otherwise log lines."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Never

from tqdm import tqdm

from batch_screen.cli import log
from batch_screen.cli.console import Stderr, print_stderr
from batch_screen.masking import safe_line
from batch_screen.runs.events import Progress

_HEARTBEAT_SECONDS = 30.0
_NOTE_CHARACTERS = 4_000
_UNITS = {
    "fetching": " bytes",
    **dict.fromkeys(("opting out", "reading", "reading again"), " rows"),
    "asking": " lookups",
    "writing": " parts",
}


@contextmanager
def watcher(heartbeat_seconds: float = _HEARTBEAT_SECONDS) -> Iterator[Progress]:
    """A bar if stderr is a terminal and no JSON was asked for, else heartbeat lines."""
    is_bar = sys.stderr.isatty() and not log.is_json()
    shown: Bar | ProgressLines = Bar() if is_bar else ProgressLines(heartbeat_seconds)
    try:
        yield shown
    finally:
        shown.close()


class Bar:
    """A tqdm bar for each stage."""

    def __init__(self) -> None:
        self._file = Stderr()
        self._bar: tqdm[Never] | None = None

    def stage(self, name: str, *, total: int | None = None, done: int = 0) -> None:
        self.close()
        self._bar = tqdm(
            total=total,
            initial=done,
            desc=name,
            unit=_UNITS.get(name, ""),
            leave=False,
            file=self._file,
            dynamic_ncols=True,
        )

    def advance(self, count: int) -> None:
        if self._bar is not None:
            self._bar.update(count)

    def note(self, message: str) -> None:
        tqdm.write(safe_line(message, _NOTE_CHARACTERS), file=self._file)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class ProgressLines:
    """A line when a stage begins, then one every so many seconds."""

    def __init__(self, every_seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._every_seconds = every_seconds
        self._clock = clock
        self._name = ""
        self._total: int | None = None
        self._done = 0
        self._done_here = 0
        self._began = self._said = clock()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._timer: threading.Thread | None = None

    def stage(self, name: str, *, total: int | None = None, done: int = 0) -> None:
        with self._lock:
            self._name, self._total, self._done, self._done_here = name, total, done, 0
            self._began = self._clock()
            self._say("stage")
        if self._timer is None:
            self._timer = threading.Thread(target=self._tick, name="heartbeat", daemon=True)
            self._timer.start()

    def advance(self, count: int) -> None:
        with self._lock:
            self._done += count
            self._done_here += count
            self._say_if_due()

    def beat(self) -> None:
        """Logs the stage's progress if a line is due, also during a long pause."""
        with self._lock:
            self._say_if_due()

    def note(self, message: str) -> None:
        log.note(message)

    def close(self) -> None:
        with self._lock:  # a line that is being written ends first
            self._closed.set()

    def _tick(self) -> None:
        while not self._closed.wait(max(0.0, self._said + self._every_seconds - self._clock())):
            self.beat()

    def _say_if_due(self) -> None:
        if not self._closed.is_set() and self._clock() - self._said >= self._every_seconds:
            self._say("heartbeat")

    def _say(self, event: str) -> None:
        self._said = self._clock()
        elapsed = self._said - self._began
        per_second = self._done_here / elapsed if elapsed >= 1 else None
        if not log.is_json():
            of = f" of {self._total:,}" if self._total is not None else ""
            pace = f", {per_second:,.0f}/s" if per_second is not None else ""
            print_stderr(f"{self._name}: {self._done:,}{of}{_UNITS.get(self._name, '')}{pace}")
            return
        left = self._total - self._done if self._total is not None else None
        seconds = left / per_second if left is not None and per_second else None
        log.event(
            event,
            stage=self._name,
            done=self._done,
            total=self._total,
            per_second=None if per_second is None else round(per_second, 3),
            seconds_left=None if seconds is None else round(seconds, 1),
        )
