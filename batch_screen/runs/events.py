"""Between a run and whoever watches it: what it tells, and the wish to stop it may get.

Who watches (a bar, a log, nobody) is not known here. The wish to stop may come at any
moment, from a signal handler or another thread: stages that wait for nothing ask for it
between two pieces of work, the event loop is woken through ``listen``.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from batch_screen.errors import SIGNAL_EXIT, Stopped


class Progress(Protocol):
    """Receives a run's stages and counts; must not raise."""

    def stage(self, name: str, *, total: int | None = None, done: int = 0) -> None:
        """A stage begins: ``total`` units of work, ``done`` of them already behind it."""

    def advance(self, count: int) -> None:
        """``count`` more units of the current stage are saved."""

    def note(self, message: str) -> None:
        """One line worth telling: masked, without line breaks."""

    def close(self) -> None:
        """Nothing follows."""


class Silent:
    """Nobody watches."""

    def stage(self, name: str, *, total: int | None = None, done: int = 0) -> None:
        del name, total, done

    def advance(self, count: int) -> None:
        del count

    def note(self, message: str) -> None:
        del message

    def close(self) -> None:
        pass


class CancelToken:
    """Says whether a run should end early, and why."""

    def __init__(self) -> None:
        self._error: Stopped | None = None
        self._listeners: list[Callable[[Stopped], None]] = []
        self._interrupts = False

    @property
    def is_requested(self) -> bool:
        return self._error is not None

    def request(self, signal_number: int) -> None:
        """The signal asks the run to save what it has and end.

        Raises ``Stopped`` inside ``interrupting``, and only there.
        """
        name = signal.Signals(signal_number).name
        self._error = Stopped(
            f"stopped by {name}; what was answered is saved: start the same command again to "
            "resume",
            exit_code=SIGNAL_EXIT + signal_number,
        )
        for listener in self._listeners:
            listener(self._error)
        if self._interrupts:
            raise self._error

    def check(self) -> None:
        """Raises ``Stopped`` if a stop was requested."""
        if self._error is not None:
            raise self._error

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Inside, a request raises ``Stopped`` at once: for a wait that hears nothing else.

        For the main thread, where signal handlers run, and a block that may end anywhere.
        """
        self._interrupts = True
        try:
            self.check()
            yield
        finally:
            self._interrupts = False

    @contextmanager
    def listen(self, listener: Callable[[Stopped], None]) -> Iterator[None]:
        """Calls the listener when a stop is requested, at once if it was already."""
        self._listeners.append(listener)
        try:
            if self._error is not None:
                listener(self._error)
            yield
        finally:
            self._listeners.remove(listener)


def _unheard(run_id: str) -> None:
    del run_id


@dataclass(frozen=True)
class RunEvents:
    """A run's watcher: ``progress`` hears, ``stop`` may ask it to end.

    ``on_run`` is told the run's id as soon as it is known.
    """

    progress: Progress = field(default_factory=Silent)
    stop: CancelToken = field(default_factory=CancelToken)
    on_run: Callable[[str], None] = _unheard

    def advance(self, count: int) -> None:
        """``count`` more units are done; raises ``Stopped`` if that should be all."""
        self.progress.advance(count)
        self.stop.check()
