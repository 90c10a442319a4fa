"""Timeouts that allow for a stalled event loop, all checked by one timer.

After a pause of the whole process (SIGSTOP, a frozen machine) every timer is overdue at once,
and each would be rung before the loop has read the answers that lie in its sockets: all that
was under way would be asked, and paid for, again. So a limit that is looked at late is looked at
once more. A timer for each attempt would also cost more than everything else that watches it.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Self, TypeVar

Result = TypeVar("Result")

_LOOK_SECONDS = 0.05
_STOOD_STILL_SECONDS = 0.1
_SECOND_CHANCE_SECONDS = 0.5


class Deadlines:
    """All timeouts of one event loop; they fire up to 50 ms late."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._running: set[Limit] = set()
        self._next_look: float | None = None

    def at(self, instant: float) -> Deadline:
        """A block that raises ``TimeoutError`` when the loop's clock reaches ``instant``."""
        return Deadline(self, instant)

    async def by(self, instant: float, future: asyncio.Future[Result]) -> Result:
        """Awaits the future; raises ``TimeoutError`` at the instant.

        For half of what a block costs: no task is cancelled, so none need be found.
        """
        wait = Wait(future, instant)
        self.enter(wait)
        try:
            return await future
        finally:
            self.leave(wait)

    def enter(self, limit: Limit) -> None:
        """Starts to check this limit."""
        self._running.add(limit)
        if self._next_look is None:
            self._look_later()

    def leave(self, limit: Limit) -> None:
        """Stops checking this limit."""
        self._running.discard(limit)

    def _look_later(self) -> None:
        self._next_look = self._loop.time() + _LOOK_SECONDS
        self._loop.call_at(self._next_look, self._look)

    def _look(self) -> None:
        now, due = self._loop.time(), self._next_look
        self._next_look = None
        stood_still = due is not None and now - due > _STOOD_STILL_SECONDS
        for deadline in [d for d in self._running if d.instant <= now]:
            if stood_still and deadline.put_off(now + _SECOND_CHANCE_SECONDS):
                continue
            self._running.discard(deadline)
            deadline.expire()
        if self._running:
            self._look_later()


class Limit(ABC):
    """An instant at which something times out."""

    def __init__(self, instant: float) -> None:
        self.instant = instant
        self._was_put_off = False

    def put_off(self, instant: float) -> bool:
        """Moves the limit to a later instant, once; returns whether it did."""
        if self._was_put_off:
            return False
        self.instant, self._was_put_off = instant, True
        return True

    @abstractmethod
    def expire(self) -> None:
        """Called once the instant has passed."""


class Wait(Limit):
    """The timeout of one future; made by ``Deadlines.by``."""

    def __init__(self, future: asyncio.Future[Any], instant: float) -> None:
        super().__init__(instant)
        self._future = future

    def expire(self) -> None:
        """Ends the wait."""
        if not self._future.done():
            self._future.set_exception(TimeoutError())


class Deadline(Limit):
    """The timeout of one block; made by ``Deadlines.at``."""

    def __init__(self, deadlines: Deadlines, instant: float) -> None:
        super().__init__(instant)
        self._deadlines = deadlines
        self._has_passed = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("Deadline is used outside a task")
        self._task = task
        self._deadlines.enter(self)
        return self

    def expire(self) -> None:
        """Ends the block."""
        self._has_passed = True
        self._task.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._deadlines.leave(self)
        # As asyncio.timeout does: somebody else's cancelling is not ours to swallow.
        if self._has_passed and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise TimeoutError from error
