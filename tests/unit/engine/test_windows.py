from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.engine.windows import aimed, is_beyond, wanted_minutes
from batch_screen.model import Endpoint, Lookup

NOW = datetime(2026, 3, 2, tzinfo=UTC)
MARGINS = st.integers(1, 1200)
AGES = st.timedeltas(timedelta(seconds=-5), timedelta(days=400))


@given(age=AGES, margin=MARGINS)
def test_a_window_reaches_back_to_the_last_observation_and_the_margin(
    age: timedelta, margin: int
) -> None:
    last = NOW - age
    minutes = wanted_minutes(last, NOW, margin)
    assert minutes >= 1
    start = NOW - timedelta(minutes=minutes)
    assert start <= last - timedelta(minutes=margin - 1) or minutes == 1
    assert start > last - timedelta(minutes=margin + 1)


@given(age=AGES, margin=MARGINS)
def test_what_is_sent_is_what_the_api_takes(age: timedelta, margin: int) -> None:
    asked = Lookup("+447700900001", Endpoint.SIM_SWAP_CHECK, 7)
    lookup = aimed(asked, NOW - age, NOW, margin)
    assert lookup.key == asked.key
    assert lookup.max_age_minutes is not None
    assert 1 <= lookup.max_age_minutes <= 2400
    assert is_beyond(NOW - age, NOW, margin) == (wanted_minutes(NOW - age, NOW, margin) > 2400)


@pytest.mark.parametrize(
    ("age", "minutes"),
    [(timedelta(0), 60), (timedelta(seconds=1), 61), (timedelta(minutes=1), 61)],
)
def test_a_begun_minute_counts(age: timedelta, minutes: int) -> None:
    assert wanted_minutes(NOW - age, NOW, 60) == minutes
