"""How long each stage of a start takes, heard on the way to whoever watches it."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from batch_screen.runs.events import Progress, Silent


class StageTimes:
    """A progress that passes all it hears on, and keeps the time meanwhile."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._passed_to: Progress = Silent()
        self._stage = ""
        self._began = clock()
        self._seconds: dict[str, float] = {}

    def pass_to(self, progress: Progress) -> StageTimes:
        """From now on all is passed on to this one."""
        self._passed_to = progress
        return self

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by stage so far, that of the stage under way too."""
        self._add()
        return dict(self._seconds)

    def stage(self, name: str, *, total: int | None = None, done: int = 0) -> None:
        self._add()
        self._stage = name.replace(" ", "_")
        self._passed_to.stage(name, total=total, done=done)

    def advance(self, count: int) -> None:
        self._passed_to.advance(count)

    def note(self, message: str) -> None:
        self._passed_to.note(message)

    def close(self) -> None:
        self._passed_to.close()

    def _add(self) -> None:
        now = self._clock()
        if self._stage:
            self._seconds[self._stage] = self._seconds.get(self._stage, 0.0) + now - self._began
        self._began = now
