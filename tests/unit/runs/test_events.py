from __future__ import annotations

import signal

import pytest

from batch_screen.errors import Stopped
from batch_screen.runs.events import CancelToken, RunEvents, Silent


class Counting(Silent):
    def __init__(self) -> None:
        self.done = 0

    def advance(self, count: int) -> None:
        self.done += count


def test_nobody_watches() -> None:
    events = RunEvents()
    events.progress.stage("reading", total=3)
    events.progress.note("hello")
    events.progress.close()
    events.advance(1)
    assert not events.stop.is_requested


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_with_its_exit_code(number: signal.Signals, code: int) -> None:
    stop = CancelToken()
    stop.check()
    stop.request(number)
    assert stop.is_requested
    with pytest.raises(Stopped, match=f"stopped by {number.name}; .* to resume") as error:
        stop.check()
    assert error.value.exit_code == code


def test_work_is_counted_before_the_stop_is_obeyed() -> None:
    progress = Counting()
    events = RunEvents(progress)
    events.advance(2)
    events.stop.request(signal.SIGINT)
    with pytest.raises(Stopped):
        events.advance(3)
    assert progress.done == 5


def test_listeners_hear_it_while_they_listen() -> None:
    stop, heard, late = CancelToken(), [], []
    with stop.listen(heard.append):
        assert not heard
        stop.request(signal.SIGTERM)
        assert [error.exit_code for error in heard] == [143]
    with stop.listen(late.append):
        assert [error.exit_code for error in late] == [143]
    stop.request(signal.SIGINT)
    assert len(heard) == len(late) == 1


def test_a_listener_that_raises_no_longer_listens() -> None:
    def refuse(error: Stopped) -> None:
        raise error

    stop = CancelToken()
    stop.request(signal.SIGINT)
    with pytest.raises(Stopped), stop.listen(refuse):
        pytest.fail("the block must not begin")
    stop.request(signal.SIGINT)


def test_a_wait_is_interrupted_at_once() -> None:
    stop = CancelToken()
    with pytest.raises(Stopped, match="SIGTERM"), stop.interrupting():
        stop.request(signal.SIGTERM)
    stop.request(signal.SIGTERM)  # outside, nothing is raised
    with pytest.raises(Stopped), stop.interrupting():
        pytest.fail("the wait must not begin")
