"""What all engines of workers share: shares, deaths in a row, and patience after a halt."""

from __future__ import annotations

from math import inf

import pytest

from batch_screen.cluster import driver
from batch_screen.cluster.driver import Workers
from batch_screen.config.settings import Cluster, Pacing, Settings
from batch_screen.engine.engine import Asked
from batch_screen.errors import ExitCode, Stopped

SETTINGS = Settings(cluster=Cluster(workers=3), pacing=Pacing(max_concurrency=100))


class Idle(Workers):
    halted: BaseException | None = None

    def serve(self, *, is_held: bool) -> bool:
        return is_held

    def halt(self, error: BaseException, *, within_seconds: float = inf) -> None:
        assert within_seconds == inf
        self.halted = error

    def asked(self, seconds: float) -> Asked:
        return Asked(0, seconds)

    @property
    def error(self) -> BaseException | None:
        return self.halted


def test_no_more_than_there_are_shards_and_each_with_its_share() -> None:
    assert (Idle(SETTINGS, 9)._most, Idle(SETTINGS, 2)._most) == (3, 2)
    assert Idle(SETTINGS, 9)._own.pacing.max_concurrency == 34


def test_deaths_without_anything_saved_in_between_end_the_run() -> None:
    workers = Idle(SETTINGS, 9)
    for saved in (0, 0, 0, 7, 7, 7):
        workers._has_died("signal 9", saved, "look")
        assert workers.error is None
    workers._has_died("signal 9", 7, "look")
    assert isinstance(workers.error, Stopped)
    assert workers.error.exit_code == ExitCode.SYSTEM
    assert str(workers.error) == (
        "4 workers in a row have ended before they saved anything, the last one by: signal 9; "
        "look, then start the same command again to resume"
    )


def test_after_a_halt_they_have_the_grace_and_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    workers, now = Idle(SETTINGS, 9), 100.0
    monkeypatch.setattr(driver, "monotonic", lambda: now)
    assert not workers._is_overdue()
    now += SETTINGS.guards.grace_seconds + driver._MORE_THAN_GRACE_SECONDS
    assert not workers._is_overdue()
    now += 0.1
    assert workers._is_overdue()
