"""What changed between two runs: a row for every number and endpoint that answers otherwise.

A pure function of two frames of lookups of the same numbers. Unknown is never negative: what
was unknown and is negative now became known, it did not turn negative.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec
import polars as pl

from batch_screen.model import LatestChange, OutcomeKind
from batch_screen.schema import LOOKUPS, dtypes

_NAMES = (
    "e164",
    "endpoint",
    "max_age_minutes",
    "outcome",
    "swapped",
    "active",
    "latest_change",
    "latest_change_at",
    "responded_at",
)
COMPARED = pl.Schema({name: dtypes(LOOKUPS)[name] for name in _NAMES})
"""The columns of lookups that are compared."""

_UNPUBLISHED = ("max_age_minutes", "latest_change")


class Change(StrEnum):
    """What is different about a number at an endpoint."""

    NEWLY_POSITIVE = "newly_positive"
    NEWLY_NEGATIVE = "newly_negative"
    DATE_MOVED = "date_moved"
    BECAME_UNKNOWN = "became_unknown"
    BECAME_KNOWN = "became_known"


class Cohort(msgspec.Struct, frozen=True):
    """A country or block in which far more numbers than elsewhere are newly positive.

    ``level`` is country or block; ``name`` a region, or leading digits and an ellipsis, never a
    whole number. Of its ``numbers``, asked in both runs, ``share`` are newly positive, and
    ``usual_share`` of those outside it.
    """

    level: str
    name: str
    numbers: int
    newly_positive: int
    share: float
    usual_share: float


class Changes(msgspec.Struct, frozen=True):
    """What changed since an earlier run: ``endpoints`` are endpoint → change → lookups.

    ``numbers_new`` were not asked in the earlier run at the endpoints that both runs asked,
    ``numbers_gone`` in this one, ``numbers_compared`` in both.
    """

    since_run: str
    since_date: str
    endpoints: dict[str, dict[str, int]]
    numbers_new: int
    numbers_gone: int
    numbers_compared: int
    cohorts: list[Cohort]


def paired(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """Lookups that both frames have, as ``before_…`` and ``after_…``, and their ``change``.

    The frames have the columns ``COMPARED``, at most one row for a number and endpoint. The
    change is null where there is none. Sorted by number and endpoint.
    """
    keys = ["e164", "endpoint"]
    values = [name for name in COMPARED if name not in keys]
    sides = (
        frame.select(*keys, pl.col(values).name.prefix(prefix))
        for frame, prefix in ((before, "before_"), (after, "after_"))
    )
    earlier, later = sides
    both = later.join(earlier, on=keys, how="inner")
    return both.with_columns(change=_change()).sort(keys)


def changed(pairs: pl.DataFrame) -> pl.DataFrame:
    """The pairs that changed, without what is not published of them."""
    unpublished = [f"{side}_{name}" for name in _UNPUBLISHED for side in ("before", "after")]
    return pairs.filter(pl.col("change").is_not_null()).drop(unpublished)


def is_rise() -> pl.Expr:
    """Whether a pair speaks of a swap that the earlier run did not know of.

    A newly positive swap, or a date that moved on: where a date is asked, most numbers have an
    older one already. That calls are forwarded is no sign of a migration.
    """
    moved_on = pl.col("after_latest_change_at") > pl.col("before_latest_change_at")
    is_swap = pl.col("endpoint").str.contains("swap", literal=True)
    newly = pl.col("change") == Change.NEWLY_POSITIVE.value
    return (is_swap & (newly | moved_on)).fill_null(value=False)


def _change() -> pl.Expr:
    was_positive, is_positive = _is_positive("before"), _is_positive("after")
    was_known, is_known = _is_known("before"), _is_known("after")
    has_moved = pl.col("before_latest_change_at").ne_missing(pl.col("after_latest_change_at"))
    rules = (
        (is_positive & (~was_positive | _is_another_swap()), Change.NEWLY_POSITIVE),
        (is_positive & was_positive & has_moved, Change.DATE_MOVED),
        (~is_known & was_known & ~_is_skipped("after"), Change.BECAME_UNKNOWN),
        (is_known & ~was_known & ~_is_skipped("before"), Change.BECAME_KNOWN),
        (was_positive & ~is_positive & is_known, Change.NEWLY_NEGATIVE),
    )
    # Of several the first holds; where none does, nothing changed.
    return pl.coalesce(pl.when(claim).then(pl.lit(change.value)) for claim, change in rules)


def _is_known(side: str) -> pl.Expr:
    return pl.col(f"{side}_outcome") == OutcomeKind.SUCCESS.value


def _is_skipped(side: str) -> pl.Expr:
    """Whether nobody asked: that is no news of the number."""
    return pl.col(f"{side}_outcome") == OutcomeKind.SKIPPED.value


def _is_positive(side: str) -> pl.Expr:
    claims = [
        pl.col(f"{side}_swapped"),
        pl.col(f"{side}_active"),
        pl.col(f"{side}_latest_change") == LatestChange.REPORTED.value,
    ]
    return _is_known(side) & pl.any_horizontal(claim.fill_null(value=False) for claim in claims)


def _is_another_swap() -> pl.Expr:
    """Swapped again, in a window that began after the earlier answer: it was not the same swap."""
    window = pl.duration(minutes=pl.col("after_max_age_minutes"))
    is_apart = pl.col("after_responded_at") - window > pl.col("before_responded_at")
    return (pl.col("after_swapped") & is_apart).fill_null(value=False)
