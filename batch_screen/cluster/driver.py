"""Driver: starts the workers of a run, replaces those that die, and ends them.

It asks nothing itself. How workers are started and reached is the engine's: the module of its name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from importlib import import_module
from math import inf
from time import monotonic

from batch_screen.config.settings import Settings
from batch_screen.engine.checkpoint import unsealed
from batch_screen.engine.engine import Asked, OnEnd, Work, ask_alone, prepare
from batch_screen.engine.schedule import ClosingTime
from batch_screen.errors import BatchScreenError, ExitCode, Stopped
from batch_screen.masking import masked_logger
from batch_screen.runs.events import RunEvents

_MORE_THAN_GRACE_SECONDS = 10.0
_DEATHS_IN_A_ROW = 4

_log = masked_logger(__name__)


class Workers(ABC):
    """The workers of a run and their coordinator, as an engine keeps them."""

    def __init__(self, settings: Settings, shards: int) -> None:
        pacing = settings.pacing
        self._most = min(settings.cluster.workers, shards)  # each shard is asked by one worker
        share = pacing.model_copy(
            update={"max_concurrency": -(-pacing.max_concurrency // self._most)}
        )
        self._own = settings.model_copy(update={"pacing": share})
        """A worker's settings."""
        self._deaths = self._saved_before = 0
        self._halted_at: float | None = None

    @abstractmethod
    def serve(self, *, is_held: bool) -> bool:
        """Sees for a moment that all is well; returns whether any worker is left.

        ``is_held``: the run is this process's alone, and may be asked.
        """

    @abstractmethod
    def halt(self, error: BaseException, *, within_seconds: float = inf) -> None:
        """Nothing more is started; what is under way has so many seconds at most."""

    @abstractmethod
    def asked(self, seconds: float) -> Asked:
        """What was asked in so many seconds."""

    @property
    @abstractmethod
    def error(self) -> BaseException | None:
        """What has halted the workers, or is the reason why something was left out."""

    def _has_died(self, how: str, saved: int, advice: str) -> None:
        """Counts a death; several in a row, with nothing saved in between, are no accident."""
        self._deaths = 1 if saved != self._saved_before else self._deaths + 1
        self._saved_before = saved
        _log.warning("a worker has ended (%s); another one takes over", how)
        if self._deaths >= _DEATHS_IN_A_ROW:
            self.halt(
                Stopped(
                    f"{self._deaths} workers in a row have ended before they saved anything, the "
                    f"last one by: {how}; {advice}, then start the same command again to resume",
                    exit_code=ExitCode.SYSTEM,
                )
            )

    def _is_overdue(self) -> bool:
        """Whether those that still run after a halt had time enough."""
        self._halted_at = self._halted_at or monotonic()
        grace = self._own.guards.grace_seconds + _MORE_THAN_GRACE_SECONDS
        return monotonic() - self._halted_at > grace


Lead = Callable[[Work, list[int], RunEvents], AbstractContextManager[Workers]]
"""What an engine's module has: the workers for these shards."""


def ask_by_workers(
    work: Work, events: RunEvents, closing: ClosingTime | None, on_end: OnEnd
) -> Asked:
    """Asks with ``cluster.workers`` workers of ``cluster.engine``."""
    engine = import_module(f"batch_screen.cluster.{work.settings.cluster.engine}")
    shards = list(unsealed(work.run, work.plan))
    if min(work.settings.cluster.workers, len(shards)) < engine.FEWEST:
        return ask_alone(work, events, closing, on_end)
    lead: Lead = engine.lead
    with lead(work, shards, events) as workers:
        prepare(work, events)
        began = monotonic()
        stops: list[BatchScreenError] = []  # a signal's handler may come in the middle of anything
        try:
            with events.stop.listen(stops.append):
                while workers.serve(is_held=work.copy is None or work.copy.is_held):
                    if stops:
                        workers.halt(stops[0])
                    if closing is not None and (now := datetime.now(UTC)) >= closing.last_orders:
                        left = (closing.by - now).total_seconds()
                        workers.halt(closing.stopped(), within_seconds=left)
        finally:
            asked = workers.asked(monotonic() - began)
            on_end(asked)
    if workers.error is not None:
        raise workers.error
    return asked
