from __future__ import annotations

import resource
from pathlib import Path

import pytest

from batch_screen.engine.engine import affordable
from batch_screen.errors import ConfigurationError


class Limits:
    """The process's limits, without touching the real ones."""

    def __init__(self, soft: int, hard: int) -> None:
        self.now = (soft, hard)

    def getrlimit(self, _which: int) -> tuple[int, int]:
        return self.now

    def setrlimit(self, _which: int, limits: tuple[int, int]) -> None:
        assert limits[1] == self.now[1]
        self.now = limits


@pytest.fixture(autouse=True)
def twenty_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "iterdir", lambda _folder: iter(range(20)))


def limited(monkeypatch: pytest.MonkeyPatch, soft: int, hard: int) -> Limits:
    limits = Limits(soft, hard)
    monkeypatch.setattr(resource, "getrlimit", limits.getrlimit)
    monkeypatch.setattr(resource, "setrlimit", limits.setrlimit)
    return limits


def test_a_limit_with_room_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = limited(monkeypatch, 1024, 4096)
    assert affordable(64) == 64
    assert limits.now == (1024, 4096)


@pytest.mark.parametrize("hard", [4096, resource.RLIM_INFINITY])
def test_the_soft_limit_is_raised_where_the_hard_one_allows(
    monkeypatch: pytest.MonkeyPatch, hard: int
) -> None:
    limits = limited(monkeypatch, 100, hard)
    assert affordable(500) == 500
    assert limits.now == (20 + 24 + 2 * 500, hard)


def test_an_unlimited_process_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = limited(monkeypatch, resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    assert affordable(10_000) == 10_000
    assert limits.now == (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def test_a_low_limit_allows_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = limited(monkeypatch, 50, 80)
    assert affordable(64) == 18
    assert limits.now == (80, 80)


def test_no_room_for_one_says_what_to_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, 40, 45)
    with pytest.raises(ConfigurationError, match=r"may open 45 files.*ulimit -n\) to 172"):
        affordable(64)


def test_the_real_limits_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert affordable(1) == 1


def test_a_process_that_can_open_nothing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    def refuse(_: Path) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Path, "iterdir", refuse)
    limited(monkeypatch, 12, 12)
    with pytest.raises(ConfigurationError, match="may open 12 files"):
        affordable(4)
