"""The bands of an age, as the signals' standard speaks of them: names and limits alone.

Where an age comes from, ``output.risk`` says; how a band is called in a text, whoever writes it.
"""

from __future__ import annotations

RECENT_HOURS = 7 * 24
"""A change is recent below this age."""

BANDS = {
    "<4h": 4,
    "<12h": 12,
    "<1d": 24,
    "<2d": 2 * 24,
    "<5d": 5 * 24,
    "<7d": 7 * 24,
    "<14d": 14 * 24,
    "<30d": 30 * 24,
    "<60d": 60 * 24,
    "<90d": 90 * 24,
    "<180d": 180 * 24,
    "<1y": 365 * 24,
    "<2y": 2 * 365 * 24,
    "<3y": 3 * 365 * 24,
}
"""The bands of the standard's discussion, and the hours below which each of them ends."""

OLDEST = "3y+"
NAMES = (*BANDS, OLDEST)
"""All bands, the youngest first."""

RECENT = frozenset(name for name, hours in BANDS.items() if hours <= RECENT_HOURS)
"""The bands of recent changes."""
