from __future__ import annotations

from datetime import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.parsing import (
    AMOUNTS,
    OF_ENDPOINTS,
    RATES,
    clock_time,
    duration,
    hours,
    threshold,
    zone,
)
from batch_screen.config.sections import Guards
from batch_screen.model import Endpoint


@pytest.mark.parametrize(
    ("text", "told", "bound"),
    [
        ("failure_rate > 1%", "failure_rate > 1%", 0.01),
        ("failure_rate>0.01", "failure_rate > 0.01", 0.01),
        (" unknown_rate:sim-swap/check >= 12.5 % ", "unknown_rate:sim-swap/check >= 12.5%", 0.125),
        ("rows < 1000", "rows < 1000", 1000),
        ("cost > 99.9", "cost > 99.9", 99.9),
        ("rows_change < -20%", "rows_change < -20%", -0.2),
        ("positive_rate_change > 250%", "positive_rate_change > 250%", 2.5),
    ],
)
def test_thresholds_are_read(text: str, told: str, bound: float) -> None:
    read = threshold(text)
    assert (read.text, read.bound) == (told, bound)
    assert threshold(told) == read


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "must be a name, > >= < or <=, and a value"),
        ("failure_rate", "must be a name"),
        ("failure_rate = 1%", "must be a name"),
        ("failure_rate > 1e3", "must be a name"),
        ("failure_rate > 1% or cost > 5", "must be a name"),
        ("failure_rate > ١%", "must be a name"),
        ("rows > " + "9" * 300, "must be a name"),
        ("failure_rat > 1%", "no figure 'failure_rat'; did you mean failure_rate?"),
        ("rows_chang < -1%", "no figure 'rows_chang'; did you mean rows_change?"),
        ("zzz > 1", "no figure 'zzz'; there are failure_rate, "),
        ("reject_rate:sim-swap/check > 1%", "no figure of an endpoint 'reject_rate'; did you mean"),
        ("positive_rate:sim-swap/chek > 1%", "did you mean sim-swap/check?"),
        ("cost > 5%", "cost is an amount and no share; drop the %"),
        ("rows_change < -0.2", "write a change in percent"),
        ("failure_rate > 5", "is never so; did you mean 5%?"),
        ("failure_rate > 100%", "is never so"),
        ("failure_rate >= 0", "is always so"),
        ("rows < 0", "is never so"),
        ("rows >= -5", "is always so"),
        ("rows_change < -100%", "is never so"),
    ],
)
def test_thresholds_that_cannot_be_meant(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"^") as error:
        threshold(text)
    assert why in str(error.value)


@given(
    st.sampled_from([*RATES, *AMOUNTS]),
    st.sampled_from([None, *Endpoint]),
    st.sampled_from([">", ">=", "<", "<="]),
    st.integers(1, 99),
)
def test_every_figure_can_be_named(
    figure: str, endpoint: Endpoint | None, sign: str, value: int
) -> None:
    endpoint = endpoint if figure in OF_ENDPOINTS else None
    whose = f":{endpoint}" if endpoint else ""
    percent = "%" if figure in RATES else ""
    read = threshold(f"{figure}{whose}{sign}{value}{percent}")
    assert (read.figure, read.endpoint, read.sign) == (figure, endpoint, sign)
    assert threshold(read.text) == read
    changed = threshold(f"{figure}_change{whose} {sign} {value}%")
    assert (changed.figure, changed.is_change) == (figure, True)
    at = read.bound
    assert read.is_crossed_by(at) == (sign in (">=", "<="))
    assert read.is_crossed_by(at + 1) == (sign in (">", ">="))
    assert read.is_crossed_by(at - 1) == (sign in ("<", "<="))


@given(st.text(max_size=60))
def test_any_text_is_a_threshold_that_reads_back_or_refused(text: str) -> None:
    try:
        read = threshold(text)
    except ValueError:
        return
    assert threshold(read.text) == read


def test_the_settings_keep_each_threshold_once() -> None:
    guards = Guards(fail_if=["cost>5", "cost > 5", "rows<7"])
    assert guards.fail_if == ("cost > 5", "rows < 7")
    assert [each.figure for each in guards.thresholds] == ["cost", "rows"]


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
