"""An event loop whose clock jumps to the next timer: tests own time and never sleep."""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

Result = TypeVar("Result")

_TICK_SECONDS = 1e-9  # a loop takes timers for due this much too early
_DEADLOCK_SECONDS = 2.0  # of real time, for nothing but another thread can end such a wait


class _JumpingSelector(selectors.DefaultSelector):
    """Advances the clock instead of waiting; a wait without end is a deadlock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            ready = super().select(_DEADLOCK_SECONDS)
            if not ready:
                raise RuntimeError("deadlock: everything waits and no timer is set")
            return ready
        later = self.now + max(0.0, timeout) + _TICK_SECONDS
        self.now = max(later, math.nextafter(self.now, math.inf))
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def call_exception_handler(self, context: Mapping[str, Any]) -> None:
        raise AssertionError(context.get("message")) from context.get("exception")


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """The coroutine's result; an hour of sleep inside it takes no time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
