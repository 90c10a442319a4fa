from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest

from batch_screen.storage import prefetch as module
from batch_screen.storage.prefetch import ordered_map


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

    with ordered_map(work, range(6)) as results:
        assert list(results) == [0, 10, 20, 30, 40, 50]


def test_no_more_things_are_taken_than_are_ahead() -> None:
    taken = []

    def things() -> Iterator[int]:
        for thing in range(100):
            taken.append(thing)
            yield thing

    with ordered_map(str, things()) as results:
        assert next(results) == "0"
        assert len(taken) == 4
    assert len(taken) == 4


def test_what_the_work_raises_comes_in_its_turn_and_ends_it() -> None:
    begun = []

    def work(thing: int) -> int:
        begun.append(thing)
        return 1 // (3 - thing)

    with ordered_map(work, range(100)) as results:
        assert [next(results) for _ in range(3)] == [0, 0, 1]
        with pytest.raises(ZeroDivisionError):
            next(results)
    assert len(begun) <= 8


def test_a_block_that_ends_early_waits_for_what_has_begun() -> None:
    goes_on, begun, done = threading.Event(), [], []

    def work(thing: int) -> None:
        begun.append(thing)
        if thing:
            assert goes_on.wait(60)
        done.append(thing)

    def leave() -> None:
        with ordered_map(work, range(100)) as results:
            next(results)
            goes_on.set()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        leave()
    assert sorted(done) == sorted(begun)
    assert len(begun) < 10


def test_results_that_nobody_wants_any_more_are_not_waited_for_by_the_garbage_collector() -> None:
    # It may run in a thread that is just starting: waiting for another one there never ends.
    goes_on = threading.Event()
    late = threading.Timer(60, goes_on.set)
    late.start()

    def work(thing: int) -> None:
        assert thing == 0 or goes_on.wait(60)

    with ordered_map(work, range(4)) as results:
        next(results)
        ring: list[object] = [results]
        ring.append(ring)
        del results, ring
        gc.collect()
        was_waited_for = goes_on.is_set()
        goes_on.set()
    late.cancel()
    assert not was_waited_for
