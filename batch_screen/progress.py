"""What a run tells its watcher; who watches (a bar, a log, nobody) is not known here."""

from __future__ import annotations

from typing import Protocol


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
