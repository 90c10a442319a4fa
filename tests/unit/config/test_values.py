from __future__ import annotations

from datetime import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.values import clock_time, duration, hours, zone


@pytest.mark.parametrize(
    "name", ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]
)
def test_zones(name: str) -> None:
    assert zone(name).key == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "Berlin",
        "Europe",  # a folder
        "Europe/",
        "Europe/Berlin/Mitte",
        "/etc/localtime",
        "../../../etc/passwd",
        "Europe/../Europe/Berlin",
        "zone.tab",
        "tzdata.zi",
        "+02:00",
        "Europe/M\u00fcnchen",
        "Europe/Ber\0lin",
        "\ud800",
        "x" * 5000,
    ],
)
def test_zones_that_do_not_exist(name: str) -> None:
    with pytest.raises(ValueError, match=r"^there is no time zone '.{0,40}'; name one such as"):
        zone(name)


@given(st.integers(0, 23), st.integers(0, 59))
def test_times_of_day(hour: int, minute: int) -> None:
    assert clock_time(f"{hour:02d}:{minute:02d}") == time(hour, minute)


@pytest.mark.parametrize(
    "text", ["", "6", "6:00", "06:0", "06:60", "24:00", "06:00:00", " 06:00", "06.00", "06:00\n"]
)
def test_times_that_cannot_be_meant(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be a time of day, 00:00 to 23:59$"):
        clock_time(text)


@given(st.integers(0, 23), st.integers(0, 24))
def test_hours_go_up_to_the_second_and_over_midnight(first: int, end: int) -> None:
    text = f"{first:02d}-{end:02d}"
    if first == end:
        with pytest.raises(ValueError, match="two hours of the day"):
            hours(text)
        return
    found = hours(text)
    assert found[0] == first
    assert (found[-1] + 1) % 24 == end % 24
    assert all((before + 1) % 24 == after for before, after in pairwise(found))
    assert len(set(found)) == len(found)


def test_a_whole_day_of_hours() -> None:
    assert hours("00-24") == list(range(24))


@pytest.mark.parametrize("text", ["", "22", "22-", "-06", "2-6", "24-06", "22-25", "22:00-06:00"])
def test_hours_that_cannot_be_meant(text: str) -> None:
    with pytest.raises(ValueError, match="must be two hours of the day, as in 22-06"):
        hours(text)


@given(st.integers(0, 999_999), st.integers(0, 999_999), st.integers(0, 999_999))
def test_durations(full_hours: int, minutes: int, seconds: int) -> None:
    expected = full_hours * 3600 + minutes * 60 + seconds
    assert duration(f"{full_hours}h{minutes}m{seconds}s") == expected
    assert duration(f" {full_hours}h {minutes}m {seconds} ") == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("45", 45), ("0.5", 0.5), ("1.5s", 1.5), ("90m", 5400), ("2h", 7200), ("1h5", 3605), ("0", 0)],
)
def test_durations_in_part(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "soon", "-1", "1d", "m", "30m6h", "1.5h", "1e3", "inf", "nan", "\u0661s"]
)
def test_durations_that_cannot_be_meant(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be a duration such as 6h30m"):
        duration(text)
