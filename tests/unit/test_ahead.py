from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from batch_screen import ahead as module
from batch_screen.ahead import ahead


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.os, "cpu_count", lambda: 4)


def test_results_come_in_the_order_of_the_things() -> None:
    first_waits = threading.Event()

    def work(thing: int) -> int:
        if thing == 0:
            assert first_waits.wait(5)
        if thing == 2:
            first_waits.set()
        return thing * 10

    assert list(ahead(work, range(6))) == [0, 10, 20, 30, 40, 50]


def test_no_more_things_are_taken_than_are_ahead() -> None:
    taken = []

    def things() -> Iterator[int]:
        for thing in range(100):
            taken.append(thing)
            yield thing

    results = ahead(str, things())
    assert next(results) == "0"
    assert len(taken) == 4
    results.close()
    assert len(taken) == 4


def test_what_the_work_raises_comes_in_its_turn_and_ends_it() -> None:
    begun = []

    def work(thing: int) -> int:
        begun.append(thing)
        return 1 // (3 - thing)

    results = ahead(work, range(100))
    assert [next(results) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert len(begun) <= 8
