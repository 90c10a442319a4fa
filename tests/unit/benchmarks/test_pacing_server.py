import pytest

from benchmarks.pacing.server import Ledger
from benchmarks.pacing.timetable import Timetable


def verdicts(limit: str, instants: list[float]) -> list[bool]:
    ledger = Ledger(Timetable.read(limit))
    return [ledger.accepts(1000.0 + instant) for instant in instants]


def test_a_second_accepts_as_many_as_the_limit_and_not_one_more() -> None:
    assert verdicts("2", [0.0, 0.5, 0.9, 0.99]) == [True, True, False, False]


def test_the_second_slides() -> None:
    assert verdicts("2", [0.0, 0.75, 1.0, 1.5, 1.75]) == [True, True, True, False, True]


def test_refused_requests_count_against_nobody() -> None:
    assert verdicts("1", [0.0, 0.25, 0.5, 0.75, 1.0]) == [True, False, False, False, True]


def test_the_limit_follows_its_timetable_from_the_first_request_on() -> None:
    changing = "1,2:3"
    assert verdicts(changing, [0.0, 0.5, 1.5, 2.5, 2.6, 2.7]) == [
        True,
        False,
        True,
        True,
        True,
        True,
    ]
    assert verdicts("2,2:1", [1.5, 1.6, 3.5, 3.6]) == [True, True, True, False]


def test_every_request_is_written_down_in_the_order_of_time() -> None:
    ledger = Ledger(Timetable.read("1"))
    for instant in (5.0, 5.25, 5.125):
        ledger.accepts(instant)
    assert list(ledger.instants) == [5.0, 5.25, 5.25]
    assert list(ledger.verdicts) == [1, 0, 0]


@pytest.mark.parametrize("rate", [1, 7, 100])
def test_whoever_sends_evenly_below_the_limit_is_never_refused(rate: int) -> None:
    assert all(verdicts(str(rate), [turn / (0.99 * rate) for turn in range(20 * rate)]))
