"""Progress events of a run, and its cancellation.

Knows no front end. Cancellation may come at any moment, from a signal handler or another thread:
synchronous stages check for it between two pieces of work, the event loop is woken by ``listen``.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from batch_screen.errors import SIGNAL_EXIT, BatchScreenError, Stopped
from batch_screen.model import ContractPace


class Progress(Protocol):
    """Receiver of a run's stages and counts; must not raise."""

    def stage(self, name: str, *, total: int | None = None, done: int = 0) -> None:
        """A stage begins, with ``total`` units of work, ``done`` of them already finished."""

    def advance(self, count: int) -> None:
        """``count`` more units of the current stage are saved."""

    def note(self, message: str) -> None:
        """One line for the user: masked, without line breaks."""

    def close(self) -> None:
        """No more events follow."""


class Silent:
    """Progress that is shown nowhere."""

    def stage(self, name: str, *, total: int | None = None, done: int = 0) -> None:
        del name, total, done

    def advance(self, count: int) -> None:
        del count

    def note(self, message: str) -> None:
        del message

    def close(self) -> None:
        pass


class CancelToken:
    """The request that a run end early, and its reason."""

    def __init__(self) -> None:
        self._error: BatchScreenError | None = None
        self._listeners: list[Callable[[BatchScreenError], None]] = []
        self._interrupts = False

    @property
    def is_requested(self) -> bool:
        return self._error is not None

    def request(self, signal_number: int) -> None:
        """Asks the run to save and end; inside ``interrupting`` it raises."""
        name = signal.Signals(signal_number).name
        stopped = Stopped(
            f"stopped by {name}; what was answered is saved: start the same command again to "
            "resume",
            exit_code=SIGNAL_EXIT + signal_number,
        )
        # Listeners first: what is raised here ends the signal's handler.
        self.end(stopped)
        if self._interrupts:
            raise stopped

    def end(self, error: BatchScreenError) -> None:
        """Asks the run to save and end with this error; from any thread."""
        self._error = error
        for listener in self._listeners:
            listener(error)

    def check(self) -> None:
        """Raises ``Stopped`` if a stop was requested."""
        if self._error is not None:
            raise self._error

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Inside the block a request raises ``Stopped`` at once, for waits that cannot poll.

        For the main thread, where signal handlers run, and blocks that may end anywhere.
        """
        self._interrupts = True
        try:
            self.check()
            yield
        finally:
            self._interrupts = False

    @contextmanager
    def listen(self, listener: Callable[[BatchScreenError], None]) -> Iterator[None]:
        """Calls the listener on a request, at once if there was one already."""
        self._listeners.append(listener)
        try:
            if self._error is not None:
                listener(self._error)
            yield
        finally:
            self._listeners.remove(listener)


@dataclass(frozen=True)
class RunEvents:
    """A run's connections to its front end; ``on_run`` gets the run's id once it is known.

    ``on_contracts`` gets the figures of each contract now and then, where there are several.
    """

    progress: Progress = field(default_factory=Silent)
    stop: CancelToken = field(default_factory=CancelToken)
    on_run: Callable[[str], None] = field(default=lambda _run_id: None)
    on_contracts: Callable[[dict[str, ContractPace]], None] = field(default=lambda _paces: None)

    def advance(self, count: int) -> None:
        """Reports ``count`` more units, then raises ``Stopped`` if a stop was requested."""
        self.progress.advance(count)
        self.stop.check()
