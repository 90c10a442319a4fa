"""What differs from the run before, in counts, as summary.json tells it."""

from __future__ import annotations

import msgspec


class Cohort(msgspec.Struct, frozen=True):
    """Numbers with something in common of which unusually many became positive.

    ``level`` says what that is (a region, a block of numbers), ``name`` which one; shares are
    from 0 to 1. A sudden rise across a whole cohort is rather an operator's migration.
    """

    level: str
    name: str
    numbers: int
    newly_positive: int
    share: float
    usual_share: float


class Changes(msgspec.Struct, frozen=True):
    """Counts against an earlier run; per endpoint newly_positive, newly_negative, date_moved,
    became_unknown and became_known.
    """

    since_run: str
    since_date: str
    endpoints: dict[str, dict[str, int]]
    numbers_new: int
    numbers_gone: int
    numbers_compared: int
    cohorts: list[Cohort]
