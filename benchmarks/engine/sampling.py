"""Where the event loop's thread spends its time: a signal looks at its stack now and then.

The kernel sends the signal by the CPU that is used, and the interpreter notices it between two of
its own instructions, so time in C (sockets, the parser) shows at the Python code that called it or
follows it. A thread that looks would be let in where the other waits for the disk, and see nothing
else. Every look counts for the CPU that the thread has used since the one before.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

_EVERY_SECONDS = 0.004
_JOURNAL_THREAD = "journal"

HTTP = "HTTP client"
READING = "reading answers"
PACING = "pacing and limits"
JOURNAL = "journal: notes, handing over"
TASKS = "tasks, verdicts, guards"
LOOP = "event loop"

# The first that fits counts, so rooms come after what is special in them.
_PARTS = {
    "batch_screen.api.answers": READING,
    "batch_screen.api.allowance": READING,
    "batch_screen.api": HTTP,
    "aiohttp": HTTP,
    "batch_screen.journal": JOURNAL,
    "batch_screen.engine.checkpoint": JOURNAL,
    "batch_screen.engine.pacer": PACING,
    "batch_screen.engine.rate_pacer": PACING,
    "batch_screen.engine.adaptive_rate": PACING,
    "batch_screen.engine.pace_log": PACING,
    "batch_screen.engine.recovery": PACING,
    "batch_screen.engine.trials": PACING,
    "batch_screen.engine.concurrency": PACING,
    "aiolimiter": PACING,
    "batch_screen.engine.engine": LOOP,
    "batch_screen": TASKS,
}


def part_of(modules: Iterator[str]) -> str:
    """The part that a stack belongs to, its modules from the innermost outward.

    >>> modules = ["json.decoder", "batch_screen.api.answers", "batch_screen.engine.dispatcher"]
    >>> part_of(iter(modules))
    'reading answers'
    >>> part_of(iter(["asyncio.runners", "__main__"]))
    'event loop'
    """
    for module in modules:
        for begin, part in _PARTS.items():
            if module == begin or module.startswith(f"{begin}."):
                return part
    return LOOP


class Sampler:
    """Looks at the main thread, which enters it; ``parts`` is its CPU seconds by what it was at."""

    def __init__(self, *, is_on: bool) -> None:
        self.parts: defaultdict[str, float] = defaultdict(float)
        self.samples = 0
        self.cpu_seconds = self.journal_cpu_seconds = 0.0
        self._is_on = is_on
        self._last = 0.0

    def __enter__(self) -> Self:
        if self._is_on:
            self._last = time.thread_time()
            signal.signal(signal.SIGPROF, self._look)
            signal.setitimer(signal.ITIMER_PROF, _EVERY_SECONDS, _EVERY_SECONDS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_on:
            signal.setitimer(signal.ITIMER_PROF, 0)

    def _look(self, _number: int, frame: FrameType | None) -> None:
        now = time.thread_time()
        self.parts[part_of(_modules(frame))] += now - self._last
        self.samples += 1
        for thread in threading.enumerate():
            if thread.name == _JOURNAL_THREAD:  # once it has ended, what was read last stands
                self.journal_cpu_seconds = cpu_seconds(thread) or self.journal_cpu_seconds
        self._last = time.thread_time()
        self.cpu_seconds += self._last - now


def cpu_seconds(thread: threading.Thread) -> float:
    """What the thread has used so far; 0 if it has ended or this is not Linux."""
    try:
        clock = Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text()
    except OSError:
        return 0.0
    return int(clock.split()[0]) / 1e9


def _modules(frame: FrameType | None) -> Iterator[str]:
    while frame is not None:
        yield frame.f_globals.get("__name__", "")
        frame = frame.f_back
