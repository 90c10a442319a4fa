from __future__ import annotations

from itertools import pairwise

from batch_screen.output.bands import BANDS, NAMES, RECENT, RECENT_HOURS


def test_bands_have_the_limits_of_the_standard() -> None:
    days = [hours / 24 for hours in BANDS.values()]
    assert days == [4 / 24, 12 / 24, 1, 2, 5, 7, 14, 30, 60, 90, 180, 365, 730, 1095]
    assert all(younger < older for younger, older in pairwise(days))
    assert (*BANDS, "3y+") == NAMES


def test_recent_are_those_under_seven_days() -> None:
    assert RECENT_HOURS / 24 == 7
    assert [name in RECENT for name in NAMES] == [True] * 6 + [False] * 9
