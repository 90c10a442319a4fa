from __future__ import annotations

import math
from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.parsing import duration
from batch_screen.config.settings import Budget, Schedule
from batch_screen.engine.schedule import Bound, Timetable, closing_time, next_at, spelled
from batch_screen.errors import Stopped
from tests.thoroughness import examples

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",  # changed its clocks at 00:01
    "Australia/Lord_Howe",  # by half an hour
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Pacific/Apia",  # left out 30 December 2011
    "Africa/Casablanca",
    "America/Havana",  # at midnight
    "Asia/Pyongyang",
]

# The changes of the clocks themselves, and any other moment.
CHANGES = [
    datetime(2026, 3, 29, 1, tzinfo=UTC),
    datetime(2026, 10, 25, 1, tzinfo=UTC),
    datetime(2026, 3, 8, 7, tzinfo=UTC),
    datetime(2026, 11, 1, 6, tzinfo=UTC),
    datetime(2011, 3, 13, 3, 31, tzinfo=UTC),
    datetime(2010, 11, 7, 2, 31, tzinfo=UTC),
    datetime(2026, 4, 4, 15, tzinfo=UTC),
    datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
    datetime(2011, 12, 30, 10, tzinfo=UTC),
    datetime(2026, 2, 15, 2, tzinfo=UTC),
    datetime(2026, 3, 22, 2, tzinfo=UTC),
    datetime(2026, 3, 8, 5, tzinfo=UTC),
    datetime(2015, 8, 14, 15, tzinfo=UTC),
    datetime(2018, 5, 4, 15, tzinfo=UTC),
]
ANY = st.datetimes(
    datetime.fromisoformat("2005-01-01"),
    datetime.fromisoformat("2035-01-01"),
    timezones=st.just(UTC),
)
NEAR = st.builds(
    lambda change, seconds: change + timedelta(seconds=seconds),
    st.sampled_from(CHANGES),
    st.floats(-90_000, 90_000),
)
INSTANTS = ANY | NEAR
PLACES = st.sampled_from(ZONES).map(ZoneInfo)
WALLS = st.builds(time, st.integers(0, 23), st.integers(0, 59)) | st.builds(
    time, st.integers(0, 4), st.sampled_from([0, 1, 15, 30, 45])
)


def at(text: str, place: tzinfo = UTC) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=place)


def naive(instant: datetime, place: ZoneInfo) -> datetime:
    return instant.astimezone(place).replace(tzinfo=None)


def looked_for(wall: time, after: datetime, place: ZoneInfo) -> datetime:
    """What ``next_at`` finds, by looking at the clock every minute."""
    now = after.replace(second=0, microsecond=0)
    while True:
        before, now = now, now + MINUTE
        expected, shown = naive(before, place) + MINUTE, naive(now, place)
        jumped = shown - expected
        if jumped >= DAY:  # the hands stay where they are
            jumped = timedelta(0)
        skipped = (expected + step * MINUTE for step in range(jumped // MINUTE))
        if now > after and (shown.time() == wall or wall in {s.time() for s in skipped}):
            return now


@examples(300)
@given(WALLS, INSTANTS, PLACES)
def test_the_next_time_is_the_first_that_a_clock_shows(
    wall: time, after: datetime, place: ZoneInfo
) -> None:
    found = next_at(wall, after, place)
    assert found.tzinfo is UTC
    assert found == looked_for(wall, after, place)


@pytest.mark.parametrize(
    ("place", "wall", "after", "expected"),
    [
        ("Europe/Berlin", "06:00", "2026-03-28T21:00", "2026-03-29T04:00"),
        ("Europe/Berlin", "02:30", "2026-03-28T21:00", "2026-03-29T01:00"),
        ("Europe/Berlin", "02:00", "2026-03-28T21:00", "2026-03-29T01:00"),
        ("Europe/Berlin", "02:30", "2026-03-29T01:00", "2026-03-30T00:30"),
        ("Europe/Berlin", "02:30", "2026-10-24T21:00", "2026-10-25T00:30"),
        ("Europe/Berlin", "02:30", "2026-10-25T00:30", "2026-10-25T01:30"),
        ("Europe/Berlin", "02:30", "2026-10-25T01:30", "2026-10-26T01:30"),
        ("Europe/Berlin", "06:00", "2026-10-24T21:00", "2026-10-25T05:00"),
        ("Europe/Berlin", "06:00", "2026-07-01T04:00", "2026-07-02T04:00"),
        ("Europe/Berlin", "06:00", "2026-07-01T03:59:59.999999", "2026-07-01T04:00"),
        ("America/New_York", "02:15", "2026-03-08T00:00", "2026-03-08T07:00"),
        ("America/New_York", "01:15", "2026-11-01T05:15", "2026-11-01T06:15"),
        ("America/St_Johns", "00:30", "2011-03-13T00:00", "2011-03-13T03:31"),
        ("Australia/Lord_Howe", "02:15", "2026-10-03T12:00", "2026-10-03T15:30"),
        ("Australia/Lord_Howe", "01:45", "2026-04-04T14:45", "2026-04-04T15:15"),
        ("Asia/Kolkata", "06:00", "2026-01-01T00:00", "2026-01-01T00:30"),
        ("Pacific/Apia", "06:00", "2011-12-30T09:00", "2011-12-30T16:00"),
        ("Pacific/Apia", "00:00", "2011-12-30T09:00", "2011-12-30T10:00"),
        ("Africa/Casablanca", "02:30", "2026-03-22T00:00", "2026-03-22T02:00"),
    ],
)
def test_the_next_time_where_clocks_change(
    place: str, wall: str, after: str, expected: str
) -> None:
    assert next_at(time.fromisoformat(wall), at(after), ZoneInfo(place)) == at(expected)


def test_the_zone_of_the_instant_does_not_matter() -> None:
    after = datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("America/New_York"))
    assert next_at(time(6), after, BERLIN) == at("2026-07-02T04:00")


TABLES = st.sampled_from(
    [
        {},
        {"08-18": 5},
        {"22-06": 50.0, "06-08": 0},
        {"00-24": 3},
        {"02-03": 7, "03-02": 0},
        {"23-01": 0, "12-13": 0.001},
    ]
)
SCHEDULES = st.builds(
    lambda name, table: Schedule(timezone=name, rate_per_second_by_hour=table),
    st.sampled_from(ZONES),
    TABLES,
)


@pytest.mark.parametrize(
    ("instant", "rate"),
    [
        ("2026-07-01T05:59:59", 10),
        ("2026-07-01T06:00", 5),  # 08:00 in Berlin
        ("2026-07-01T15:59:59", 5),
        ("2026-07-01T16:00", 10),
        ("2026-07-01T19:59", 10),
        ("2026-07-01T20:00", 0),
        ("2026-01-01T20:59", 10),
        ("2026-01-01T21:00", 0),  # and an hour later in winter
        ("2026-01-01T02:00", 10),  # more than the rate is the rate
    ],
)
def test_the_rate_of_an_hour(instant: str, rate: float) -> None:
    table = {"08-18": 5, "22-02": 0, "03-04": 99}
    schedule = Schedule(timezone="Europe/Berlin", rate_per_second_by_hour=table)
    assert Timetable(schedule, 10).rate(at(instant)) == rate
    assert Timetable(schedule, 10, headroom=0.02).rate(at(instant)) == pytest.approx(rate * 0.98)


def test_without_hours_the_rate_is_the_rate() -> None:
    table = Timetable(Schedule(), 10, headroom=0.5)
    assert table.rate(at("2026-07-01T06:00")) == 5
    assert table.seconds_needed(1e9, at("2026-07-01T06:00")) == 2e8


@examples(300)
@given(SCHEDULES, INSTANTS)
def test_the_rate_changes_at_a_full_hour_only(schedule: Schedule, instant: datetime) -> None:
    table = Timetable(schedule, 10)
    later = table.next_hour(instant)
    assert instant < later <= instant + HOUR
    while (instant := instant + MINUTE) < later:
        assert table.rate(instant) == table.rate(later - timedelta(microseconds=1))


@pytest.mark.parametrize(
    ("place", "instant", "expected"),
    [
        ("Asia/Kathmandu", "2026-01-01T00:00", "2026-01-01T00:15"),  # 05:45 there
        ("Asia/Kolkata", "2026-01-01T00:30", "2026-01-01T01:30"),
        ("Europe/Berlin", "2026-03-29T00:30", "2026-03-29T01:00"),
        ("America/St_Johns", "2011-03-13T03:30:30", "2011-03-13T03:31"),
    ],
)
def test_the_next_full_hour(place: str, instant: str, expected: str) -> None:
    schedule = Schedule(timezone=place, rate_per_second_by_hour={"00-01": 0})
    assert Timetable(schedule, 10).next_hour(at(instant)) == at(expected)


@pytest.mark.parametrize(
    ("requests", "hours"),
    [(0, 0), (36_000, 1), (3 * 36_000, 14), (13 * 36_000, 24), (14 * 36_000, 25)],
)
def test_what_is_asked_at_night_waits_over_the_day(requests: int, hours: float) -> None:
    schedule = Schedule(timezone="Europe/Berlin", rate_per_second_by_hour={"08-19": 0})
    began = at("2026-07-01T06:00", BERLIN)
    assert Timetable(schedule, 10).seconds_needed(requests, began) == hours * 3600


def test_years_of_asking_need_no_long_loop() -> None:
    schedule = Schedule(rate_per_second_by_hour={"06-18": 0})
    needed = Timetable(schedule, 1).seconds_needed(1e12, at("2026-01-01T00:00"))
    assert needed == pytest.approx(2e12, rel=1e-3)


@examples(100)
@given(SCHEDULES, INSTANTS, st.floats(0, 1e6), st.floats(0, 1e6))
def test_asking_in_two_parts_takes_as_long(
    schedule: Schedule, began: datetime, first: float, second: float
) -> None:
    table = Timetable(schedule, 10)
    whole = table.seconds_needed(first + second, began)
    part = table.seconds_needed(first, began)
    rest = table.seconds_needed(second, began + timedelta(seconds=part))
    assert part <= whole or math.isclose(part, whole)
    # A rounding at a full hour may put the rest on the other side of a closed one.
    done = sum_of(table, began, part + rest) - (first + second)
    assert abs(done) < 1


def sum_of(table: Timetable, began: datetime, seconds: float) -> float:
    """How many requests the timetable permits in so many seconds."""
    now, end, total = began, began + timedelta(seconds=seconds), 0.0
    while now < end:
        later = min(table.next_hour(now), end)
        total += table.rate(now) * (later - now).total_seconds()
        now = later
    return total


@examples(50)
@given(SCHEDULES, INSTANTS, st.floats(0.001, 1e6))
def test_so_many_requests_are_permitted_by_then(
    schedule: Schedule, began: datetime, requests: float
) -> None:
    table = Timetable(schedule, 10)
    assert sum_of(table, began, table.seconds_needed(requests, began)) == pytest.approx(
        requests, rel=1e-6, abs=0.01
    )


NIGHT = Schedule(timezone="Europe/Berlin", stop_at="06:00")
EVENING = at("2026-07-01T22:00", BERLIN)


def test_without_a_bound_there_is_no_closing_time() -> None:
    assert closing_time(EVENING, Schedule(), Budget(), 15) is None
    assert closing_time(EVENING, Schedule(), Budget(max_duration_seconds=1e300), 15) is None


def test_closing_time_is_the_earlier_bound() -> None:
    night = closing_time(EVENING, NIGHT, Budget(max_duration_seconds=9 * 3600), 15)
    assert night is not None
    assert (night.by, night.bound) == (at("2026-07-02T06:00", BERLIN), Bound.STOP_AT)
    assert night.by - night.last_orders == timedelta(seconds=16)
    short = closing_time(EVENING, NIGHT, Budget(max_duration_seconds=7.5 * 3600), 15)
    assert short is not None
    assert (short.by, short.bound) == (at("2026-07-02T05:30", BERLIN), Bound.MAX_DURATION)


def test_a_night_is_shorter_where_clocks_jump() -> None:
    found = closing_time(at("2026-03-28T22:00", BERLIN), NIGHT, Budget(), 15)
    assert found is not None
    assert found.by - at("2026-03-28T21:00") == 7 * HOUR


@pytest.mark.parametrize(
    ("schedule", "budget", "start"),
    [
        (NIGHT, Budget(), "stopped before 06:00 (Europe/Berlin), as schedule.stop_at says; "),
        (
            Schedule(),
            Budget(max_duration_seconds="6h30m"),
            "stopped before 6h30m were over, as budget.max_duration_seconds says; ",
        ),
    ],
)
def test_messages_say_what_and_how_to_go_on(schedule: Schedule, budget: Budget, start: str) -> None:
    found = closing_time(EVENING, schedule, budget, 15)
    assert found is not None
    error = found.stopped()
    assert isinstance(error, Stopped)
    assert error.exit_code == 4
    assert str(error) == (
        f"{start}what was answered is saved: start the same command again to resume"
    )


@given(INSTANTS, st.floats(0.1, 1e9), st.floats(0.1, 1e6))
def test_last_orders_leave_time_for_answers(
    began: datetime, seconds: float, timeout_seconds: float
) -> None:
    found = closing_time(began, Schedule(), Budget(max_duration_seconds=seconds), timeout_seconds)
    assert found is not None
    assert began < found.last_orders < found.by
    margin = (found.by - found.last_orders).total_seconds()
    assert margin <= timeout_seconds + 1 + 1e-5
    assert margin <= (found.by - began).total_seconds() / 4 + 1e-5
    assert margin == pytest.approx(
        min(timeout_seconds + 1, (found.by - began).total_seconds() / 4), abs=1e-5
    )


@given(st.integers(1, 10**8))
def test_a_duration_is_spelled_as_it_is_read(seconds: int) -> None:
    assert duration(spelled(seconds)) == seconds
