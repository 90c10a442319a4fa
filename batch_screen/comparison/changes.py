"""Changes between two runs: one row per number and endpoint whose answer differs.

A pure function of two frames of lookups of the same numbers. Unknown is never negative: what
was unknown and is negative now became known, it did not turn negative.
"""

from __future__ import annotations

import polars as pl

from batch_screen.config.screening import Cohorts
from batch_screen.model import LatestChange, OutcomeKind
from batch_screen.schema import LOOKUPS, dtypes
from batch_screen.tables.coverage import Change, Cohort

_NAMES = (
    "endpoint",
    "max_age_minutes",
    "outcome",
    "swapped",
    "active",
    "latest_change",
    "latest_change_at",
    "responded_at",
)
_UNPUBLISHED = ("max_age_minutes", "latest_change")


def compared(number: str) -> pl.Schema:
    """The columns of lookups that are compared, of tables keyed by this one."""
    return pl.Schema({name: dtypes(LOOKUPS)[name] for name in (number, *_NAMES)})


def paired(before: pl.DataFrame, after: pl.DataFrame, number: str = "e164") -> pl.DataFrame:
    """Lookups that both runs have, with columns ``before_…``, ``after_…`` and ``change``.

    The frames have the columns ``compared``, at most one row for a number and endpoint. The
    change is null where there is none. Sorted by number and endpoint.
    """
    keys = [number, "endpoint"]
    values = [name for name in compared(number) if name not in keys]
    earlier = before.select(*keys, pl.col(values).name.prefix("before_"))
    later = after.select(*keys, pl.col(values).name.prefix("after_"))
    # An inner join: a number that only one of the runs asked has not changed, it is new or gone.
    both = later.join(earlier, on=keys, how="inner")
    return both.with_columns(change=_change()).sort(keys)


def changed(pairs: pl.DataFrame) -> pl.DataFrame:
    """The changed pairs, without columns that are not published."""
    unpublished = [f"{run}_{name}" for name in _UNPUBLISHED for run in ("before", "after")]
    return pairs.filter(pl.col("change").is_not_null()).drop(unpublished)


def is_rise() -> pl.Expr:
    """Whether a pair newly shows a swap.

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
    # Swapped again, in a window that began after the earlier answer: it was not the same swap.
    window = pl.duration(minutes=pl.col("after_max_age_minutes"))
    is_apart = pl.col("after_responded_at") - window > pl.col("before_responded_at")
    is_another_swap = (pl.col("after_swapped") & is_apart).fill_null(value=False)
    rules = (
        (is_positive & (~was_positive | is_another_swap), Change.NEWLY_POSITIVE),
        (is_positive & was_positive & has_moved, Change.DATE_MOVED),
        (~is_known & was_known & ~_is_skipped("after"), Change.BECAME_UNKNOWN),
        (is_known & ~was_known & ~_is_skipped("before"), Change.BECAME_KNOWN),
        # Only what is known can be negative: an answer that failed rules nothing out.
        (was_positive & ~is_positive & is_known, Change.NEWLY_NEGATIVE),
    )
    # Of several the first holds; where none does, nothing changed.
    return pl.coalesce(pl.when(claim).then(pl.lit(change.value)) for claim, change in rules)


def _is_known(run: str) -> pl.Expr:
    return pl.col(f"{run}_outcome") == OutcomeKind.SUCCESS.value


def _is_skipped(run: str) -> pl.Expr:
    """Whether that run did not ask: a skipped lookup says nothing new about the number."""
    return pl.col(f"{run}_outcome") == OutcomeKind.SKIPPED.value


def _is_positive(run: str) -> pl.Expr:
    claims = [
        pl.col(f"{run}_swapped"),
        pl.col(f"{run}_active"),
        pl.col(f"{run}_latest_change") == LatestChange.REPORTED.value,
    ]
    return _is_known(run) & pl.any_horizontal(claim.fill_null(value=False) for claim in claims)


# The cohort guard: blocks and countries in which far more numbers than elsewhere are new.
#
# Up to a quarter of SIM-swap positives were reported to be moves to an eSIM; a sudden rise over a
# whole block of numbers is an operator's migration rather than fraud. It is marked, never removed.
#
# Counts are kept by region and leading digits, at most a million of them over all the world's
# numbering plans, whatever the number of numbers.

COUNTRY, BLOCK = "country", "block"

MOST_DIGITS, LEAST_DIGITS, LEAST_HIDDEN = 6, 3, 4
"""Leading digits of a block: never as many as the shortest numbers have."""

_COUNTS = {"region": pl.String, "prefix": pl.String, "numbers": pl.Int64, "rises": pl.Int64}
_SHARE_IN_BLOCKS = 0.5
_ELLIPSIS = "…"


class Tally:
    """Counts numbers asked in both runs, and new positives, by region and leading digits.

    Where ids stand for numbers there are no digits, and so no blocks.
    """

    def __init__(self, number: str = "e164") -> None:
        self.number = number
        self.counts = pl.DataFrame(schema=_COUNTS)

    def add(self, pairs: pl.DataFrame) -> None:
        """Counts pairs with the columns of ``changes.paired`` and ``region``.

        No number may be in two of the frames that are added.
        """
        # A number counts once, however many of its endpoints rose.
        numbers = pairs.group_by(self.number).agg(pl.col("region").first(), rises=is_rise().any())
        some = numbers.group_by("region", prefix=_prefix(self.number)).agg(
            numbers=pl.len().cast(pl.Int64), rises=pl.col("rises").sum().cast(pl.Int64)
        )
        together = pl.concat([self.counts, some.select(list(_COUNTS))])
        self.counts = together.group_by("region", "prefix").agg(pl.all().sum())

    @property
    def numbers(self) -> int:
        """How many numbers were counted."""
        return int(self.counts["numbers"].sum())


class Marks:
    """The marked cohorts, and which of them a number belongs to."""

    def __init__(self, tally: Tally, bounds: Cohorts) -> None:
        counts, self._number = tally.counts, tally.number
        self._digits = _block_digits(counts, bounds.min_numbers)
        blocks = self._with_blocks(counts).drop_nulls("block")
        self.cohorts = [
            *_marked(counts.drop_nulls("region"), "region", COUNTRY, bounds),
            *_marked(blocks, "block", BLOCK, bounds),
        ]

    def mark(self, changed: pl.DataFrame) -> pl.DataFrame:
        """The rows, which have ``region``, with ``cohort`` and ``likely_migration``.

        Of a marked block and its marked country, the block is named.
        """
        named = {
            level: [c.name for c in self.cohorts if c.level == level] for level in (COUNTRY, BLOCK)
        }
        block, region = pl.col("block"), pl.col("region")
        # Only rises are marked: what else changed in a migrating block is news all the same.
        cohort = pl.coalesce(
            pl.when(block.is_in(named[BLOCK])).then(block),
            pl.when(region.is_in(named[COUNTRY])).then(region),
        )
        found = self._with_blocks(changed.with_columns(prefix=_prefix(self._number)))
        return found.with_columns(
            cohort=cohort, likely_migration=cohort.is_not_null() & is_rise()
        ).drop("block", "prefix", "digits")

    def _with_blocks(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows with the name of their ``block``, null where their region has none."""
        digits = frame.join(
            self._digits, on="region", how="left", nulls_equal=True, maintain_order="left"
        )
        name = pl.col("prefix").str.head(1 + pl.col("digits")) + _ELLIPSIS
        return digits.with_columns(block=name)


def _prefix(number: str) -> pl.Expr:
    """The plus and the first digits; of short numbers fewer, so that enough stays hidden."""
    if number != "e164":
        return pl.lit(None, pl.String)
    shown = pl.min_horizontal(
        pl.lit(1 + MOST_DIGITS), pl.col(number).str.len_chars().cast(pl.Int32) - LEAST_HIDDEN
    )
    return pl.col(number).str.head(shown)


def _block_digits(counts: pl.DataFrame, min_numbers: int) -> pl.DataFrame:
    """Region → digits of its blocks: the most that leave half of its numbers in large blocks.

    Regions where even the shortest blocks are too small are left out.
    """
    found = pl.DataFrame(schema={"region": pl.String, "digits": pl.Int32})
    for digits in range(MOST_DIGITS, LEAST_DIGITS - 1, -1):
        blocks = counts.group_by("region", pl.col("prefix").str.head(1 + digits)).agg(
            pl.col("numbers").sum()
        )
        numbers = pl.col("numbers")
        in_large = numbers.filter(numbers >= min_numbers).sum()
        fitting = blocks.group_by("region").agg(fits=in_large >= _SHARE_IN_BLOCKS * numbers.sum())
        new = fitting.filter("fits").join(found, on="region", how="anti", nulls_equal=True)
        found = pl.concat([found, new.select("region", digits=pl.lit(digits, pl.Int32))])
    return found


def _marked(counts: pl.DataFrame, by: str, level: str, bounds: Cohorts) -> list[Cohort]:
    """The cohorts whose share of new positives reaches the bound and exceeds that of the others.

    Outside are the others that do not reach the bound themselves: several blocks that moved in
    the same night do not hide each other.
    """
    numbers, rises = pl.col("numbers"), pl.col("rises")
    cohorts = counts.group_by(by).agg(numbers.sum(), rises.sum())
    share = rises / numbers
    reaches = (numbers >= bounds.min_numbers) & (share >= bounds.min_share)
    outside = cohorts.filter(~reaches).select(numbers.sum(), rises.sum()).row(0)
    if outside[0] < bounds.min_numbers:  # there is nothing to compare with
        return []
    usual = outside[1] / outside[0]
    high = cohorts.filter(reaches & (share >= bounds.min_rise * usual))
    return [
        Cohort(level, name, total, new, round(new / total, 6), round(usual, 6))
        for name, total, new in high.sort(-rises, by).select(by, numbers, rises).iter_rows()
    ]
