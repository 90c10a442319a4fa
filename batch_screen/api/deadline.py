"""A time limit that knows whether the loop stood still.

After a pause of the whole process (SIGSTOP, a frozen machine) every timer is overdue at once,
and each would be rung before the loop has read the answers that lie in its sockets: all that
was under way would be asked, and paid for, again. So a limit that rings late waits once more.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

_STOOD_STILL_SECONDS = 0.5
_SECOND_CHANCE_SECONDS = 0.5


class Deadline:
    """Raises ``TimeoutError`` out of its block when the loop's clock reads ``at_seconds``."""

    def __init__(self, at_seconds: float) -> None:
        self._at_seconds = at_seconds
        self._has_passed = False

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("Deadline is used outside a task")
        self._task = task
        self._timer = self._loop.call_at(self._at_seconds, self._ring)
        return self

    def _ring(self) -> None:
        if self._loop.time() - self._at_seconds > _STOOD_STILL_SECONDS:
            self._timer = self._loop.call_later(_SECOND_CHANCE_SECONDS, self._cancel)
        else:
            self._cancel()

    def _cancel(self) -> None:
        self._has_passed = True
        self._task.cancel()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        # As asyncio.timeout does: somebody else's cancelling is not ours to swallow.
        if self._has_passed and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise TimeoutError from error
