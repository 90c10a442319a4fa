from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.api.dates import parse_instant

minutes = st.integers(-(23 * 60 + 59), 23 * 60 + 59)
instants = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31))  # noqa: DTZ001 (made local below)
EPOCH = datetime(1, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("digits", range(10))
def test_fraction_digits(digits: int) -> None:
    fraction = f".{'987654321'[:digits]}" if digits else ""
    micros = int("987654"[:digits].ljust(6, "0"))
    assert parse_instant(f"2024-09-18T07:37:53{fraction}Z") == datetime(
        2024, 9, 18, 7, 37, 53, micros, UTC
    )


@pytest.mark.parametrize(
    "text",
    [
        "2024-09-18T07:37:53Z",
        "2024-09-18t07:37:53z",
        "2024-09-18 07:37:53Z",
        "2024-09-18T07:37:53+00:00",
        "2024-09-18T07:37:53-00:00",
        "2024-09-18T09:37:53+02:00",
        "2024-09-18T13:07:53+05:30",
        "2024-09-17T22:07:53-09:30",
        "2024-09-19T07:36:53+23:59",
    ],
)
def test_offsets(text: str) -> None:
    assert parse_instant(text) == datetime(2024, 9, 18, 7, 37, 53, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("1677-09-21T00:00:00Z", datetime(1677, 9, 21, tzinfo=UTC)),
        ("2262-04-12T00:00:00Z", datetime(2262, 4, 12, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999999Z", datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)),
        ("2000-02-29T00:00:00Z", datetime(2000, 2, 29, tzinfo=UTC)),
        # Leap seconds: the last instant before them.
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, 999_999, UTC)),
        ("2016-12-31T23:59:60.5Z", datetime(2016, 12, 31, 23, 59, 59, 999_999, UTC)),
        ("2017-01-01T00:59:60+01:00", datetime(2016, 12, 31, 23, 59, 59, 999_999, UTC)),
    ],
)
def test_bounds(text: str, instant: datetime) -> None:
    assert parse_instant(text) == instant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024-09-18",
        "2024-09-18T07:37Z",
        "2024-09-18T07:37:53",
        "2024-09-18T07:37:53.Z",
        "2024-09-18T07:37:53.1234567890Z",
        "2024-09-18T07:37:53,5Z",
        "2024-09-18T07:37:53+02",
        "2024-09-18T07:37:53+0200",
        "2024-09-18T07:37:53+24:00",
        "2024-09-18T07:37:53+02:60",
        "2024-09-18T07:37:53 Z",
        " 2024-09-18T07:37:53Z",
        "2024-09-18T07:37:53Z\n",
        "24-09-18T07:37:53Z",
        "12024-09-18T07:37:53Z",
        "+2024-09-18T07:37:53Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "2024-13-18T07:37:53Z",
        "2023-02-29T07:37:53Z",
        "2024-09-18T24:00:00Z",
        "2024-09-18T07:60:53Z",
        # Sixty seconds where no leap second can be.
        "2024-09-18T07:37:60Z",
        "2024-09-30T23:58:60Z",
        "2024-09-29T23:59:60Z",
        "2016-12-31T23:59:60+01:00",
        "2024-09-18T07:37:61Z",
        "٢٠٢٤-٠٩-١٨T٠٧:٣٧:٥٣Z",
        "1726645073",
        "Wed, 18 Sep 2024 07:37:53 GMT",
    ],
)
def test_what_is_no_instant(text: str) -> None:
    assert parse_instant(text) is None


@given(instants, minutes)
def test_round_trip(local: datetime, offset: int) -> None:
    instant = local.replace(tzinfo=timezone(timedelta(minutes=offset)))
    found = parse_instant(instant.isoformat())
    assert found == instant
    assert found.tzinfo is UTC


@given(instants, st.integers(0, 10**9 - 1), minutes)
def test_never_later_than_the_exact_instant(local: datetime, nanos: int, offset: int) -> None:
    whole = local.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=offset)))
    text = f"{whole.isoformat()[:19]}.{nanos:09}{whole.isoformat()[19:]}"
    found = parse_instant(text)
    assert found is not None
    exact = Fraction(nanos, 1000)
    lost = exact - (found - whole) // timedelta(microseconds=1)
    assert 0 <= lost < 1


@given(st.text(max_size=40))
def test_any_text_is_an_instant_or_none(text: str) -> None:
    found = parse_instant(text)
    assert found is None or found >= EPOCH
