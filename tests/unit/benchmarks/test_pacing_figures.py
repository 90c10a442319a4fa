from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.pacing import figures
from benchmarks.pacing.figures import Arrivals
from benchmarks.pacing.timetable import Timetable

HUNDRED = Timetable.read("100")


def evenly(rate: float, seconds: float, begin: float = 0.0) -> list[float]:
    return [begin + turn / rate for turn in range(int(rate * seconds))]


def accepted(instants: list[float]) -> Arrivals:
    return Arrivals(instants, [True] * len(instants))


def mixed(yes: list[float], no: list[float]) -> Arrivals:
    both = sorted([(s, True) for s in yes] + [(s, False) for s in no])
    return Arrivals([s for s, _ in both], [is_accepted for _, is_accepted in both])


def test_a_client_that_sends_evenly_at_the_limit_has_used_all_of_it() -> None:
    arrivals = accepted(evenly(100, 20))
    assert figures.used(arrivals, HUNDRED) == pytest.approx(1)
    assert figures.used_after_ramp_up(arrivals, HUNDRED) == pytest.approx(1)


def test_a_slow_start_and_stragglers_count_in_the_whole_run_alone() -> None:
    arrivals = accepted(evenly(20, 6) + evenly(100, 20, 6) + [36.0])
    assert figures.used(arrivals, HUNDRED) == pytest.approx(2120 / 3600)
    assert figures.used_after_ramp_up(arrivals, HUNDRED) == pytest.approx(1)


def test_refused_requests_use_nothing() -> None:
    arrivals = mixed(evenly(50, 20), evenly(50, 20, 0.01))
    assert figures.used(arrivals, HUNDRED) == pytest.approx(0.5, abs=0.001)
    assert figures.refused_share(arrivals) == 0.5


def test_a_changing_limit_is_added_up_piece_by_piece() -> None:
    limit = Timetable.read("200,40:100,80:200")
    arrivals = accepted(evenly(200, 40) + evenly(100, 40, 40) + evenly(200, 40, 80))
    assert figures.used(arrivals, limit, 0, 120) == pytest.approx(1)
    assert figures.used(arrivals, Timetable.read("200"), 0, 120) == pytest.approx(20_000 / 24_000)


def test_a_span_without_time_has_no_share() -> None:
    assert isnan(figures.used(accepted([]), HUNDRED))
    assert isnan(figures.used_after_ramp_up(accepted([]), HUNDRED))
    assert isnan(figures.used_after_ramp_up(accepted(evenly(100, 3)), HUNDRED))


def test_the_worst_second_may_begin_anywhere_and_counts_refused_ones() -> None:
    arrivals = mixed([0.0, 0.9, 1.1], [1.2, 1.3, 1.95])
    assert figures.worst_second(arrivals) == 4
    assert figures.worst_second(mixed([0.0], [1.0])) == 1
    assert figures.worst_second(accepted([])) == 0


@given(st.lists(st.floats(0, 5), min_size=1, max_size=60))
def test_the_worst_second_is_what_trying_every_beginning_finds(instants: list[float]) -> None:
    ordered = sorted(instants)
    slowly = max(sum(0 <= other - each < 1.0 for other in ordered) for each in ordered)
    assert figures.worst_second(accepted(ordered)) == slowly


@pytest.mark.parametrize(
    ("at", "is_before"), [(0.04, False), (0.06, True), (0.99, True), (1.0, False), (1.5, False)]
)
def test_a_request_disregards_a_refusal_from_50_ms_to_a_second_after_it(
    at: float, is_before: bool
) -> None:
    assert figures.before_retry_after(mixed([at], [0.0])) == int(is_before)


def test_a_request_that_disregards_several_refusals_counts_once() -> None:
    assert figures.before_retry_after(mixed([0.5, 2.0], [0.0, 0.01, 0.02])) == 1


def test_refused_requests_disregard_refusals_too() -> None:
    assert figures.before_retry_after(mixed([], [0.0, 0.5, 1.2])) == 2


def test_near_means_every_second_of_two_within_five_per_cent() -> None:
    limit = Timetable.read("200,40:100")
    at_once = accepted(evenly(200, 40) + evenly(98, 40, 40))
    assert figures.seconds_until_near(at_once, limit, 40, 80) == pytest.approx(0)
    later = accepted(evenly(200, 40) + evenly(50, 7, 40) + evenly(97, 30, 47))
    found = figures.seconds_until_near(later, limit, 40, 80)
    assert found == pytest.approx(7, abs=0.1)


def test_a_visit_of_a_second_is_not_near() -> None:
    limit = Timetable.read("200,40:100")
    visit = accepted(evenly(200, 40) + evenly(100, 1.5, 40) + evenly(50, 30, 42))
    assert figures.seconds_until_near(visit, limit, 40, 70) is None


def test_until_keeps_what_came_before() -> None:
    cut = mixed([0.0, 2.0], [1.0]).until(2.0)
    assert (cut.seconds, cut.is_accepted) == ([0.0, 1.0], [True, False])
    assert cut.last == 1.0
    assert accepted([]).last == 0


def test_done_is_when_the_last_of_those_that_matter_was_answered() -> None:
    answered = {"a": 2.0, "b": 1.0, "odd": 31.0}
    assert figures.done_after(answered, {"a", "b"}) == 2.0
    assert figures.done_after(answered, {"a", "lost"}) is None
    assert figures.done_after(answered, set()) == 0.0


@pytest.mark.parametrize("text", ["200", "200,40:100", "200,40:100,80.5:200"])
def test_a_timetable_reads_what_it_writes(text: str) -> None:
    assert str(Timetable.read(text)) == text


def test_each_change_lasts_until_the_next_or_the_end() -> None:
    limit = Timetable.read("200,40:100,80:200")
    assert [(s.limit, end) for s, end in limit.changes(120)] == [(100, 80), (200, 120)]
    assert list(HUNDRED.changes(120)) == []


@pytest.mark.parametrize("text", ["", "fast", "200,40", "200,80:100,40:200", "200,0:100"])
def test_a_timetable_refuses_what_makes_none(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (argparse shows the text itself)
        Timetable.read(text)
