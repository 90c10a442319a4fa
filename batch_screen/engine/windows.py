"""How far back a check looks, so that nothing is left out since the last observation: pure.

Whole minutes, begun ones counted, and a margin: clocks differ, and a request takes seconds.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from batch_screen.model import LONGEST_WINDOW_MINUTES, Lookup

_MINUTE = timedelta(minutes=1)


def wanted_minutes(last_observed_at: datetime, now: datetime, margin_minutes: int) -> int:
    """From now back to the last observation and the margin beyond it; at least 1.

    >>> from datetime import UTC
    >>> wanted_minutes(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC), 60)
    1500
    """
    begun = -((last_observed_at - now) // _MINUTE)
    return max(1, begun + margin_minutes)


def is_beyond(last_observed_at: datetime, now: datetime, margin_minutes: int) -> bool:
    """Whether the API's longest window does not reach back so far."""
    return wanted_minutes(last_observed_at, now, margin_minutes) > LONGEST_WINDOW_MINUTES


def aimed(lookup: Lookup, last_observed_at: datetime, now: datetime, margin: int) -> Lookup:
    """The lookup with the window to send now: a run may last for hours."""
    minutes = wanted_minutes(last_observed_at, now, margin)
    return Lookup(lookup.e164, lookup.endpoint, min(minutes, LONGEST_WINDOW_MINUTES))
