from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from batch_screen.engine.starts import REMEMBERED_SECONDS, Starts


@given(
    rate=st.floats(0.1, 30),
    gaps=st.lists(st.one_of(st.just(0.0), st.floats(0, 2)), max_size=200),
)
def test_who_starts_when_the_window_opens_never_fills_a_second_too_much(
    rate: float, gaps: list[float]
) -> None:
    starts, now, instants = Starts(), 0.0, []
    for gap in gaps:
        now = max(now + gap, starts.window_opens_at(rate))
        starts.add(now)
        instants.append(now)
    for first in instants:
        assert sum(first <= at < first + 1 for at in instants) <= math.ceil(rate)


def test_what_is_old_is_forgotten() -> None:
    starts = Starts()
    for instant in (0.0, 1.0, 2.0 + REMEMBERED_SECONDS):
        starts.add(instant)
    assert starts.count(0) == 1
    assert starts.count(1.0, 2.0) == 0
