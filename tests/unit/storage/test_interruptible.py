from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

import pytest

from batch_screen.storage.interruptible import interruptible


class Signalled(Exception):  # noqa: N818 (it is what a handler raises)
    pass


@pytest.fixture(autouse=True)
def _handler() -> Iterator[None]:
    def end(_number: int, _frame: FrameType | None) -> None:
        raise Signalled

    before = signal.signal(signal.SIGUSR1, end)
    yield
    signal.signal(signal.SIGUSR1, before)


def soon() -> None:
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()


def test_an_error_of_the_call_is_raised_where_it_is_waited_for() -> None:
    stopped: list[bool] = []
    with pytest.raises(ZeroDivisionError):
        interruptible(lambda: 1 // 0, lambda: stopped.append(True))
    assert stopped == []


def test_a_signal_ends_the_wait_for_a_call_that_hangs() -> None:
    released = threading.Event()
    began = time.monotonic()
    soon()
    with pytest.raises(Signalled):
        interruptible(lambda: released.wait(60))
    assert time.monotonic() - began < 30
    released.set()


def test_a_call_that_can_be_stopped_has_ended_when_the_signal_is_raised() -> None:
    stop, ended = threading.Event(), threading.Event()

    def call() -> None:
        stop.wait(60)
        time.sleep(1.5)
        ended.set()

    soon()
    with pytest.raises(Signalled):
        interruptible(call, stop.set, ends=True)
    assert ended.is_set()
