from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.cohorts import Cohorts
from batch_screen.output.changes import Cohort
from batch_screen.output.cohorts import Marks, Tally
from tests.thoroughness import examples

BOUNDS = Cohorts()


def pairs_of(numbers: Mapping[str, bool], region: str | None = "DE") -> pl.DataFrame:
    """Number → whether it is newly swapped, as ``changes.paired`` has them."""
    return pl.DataFrame(
        {
            "e164": list(numbers),
            "region": [region] * len(numbers),
            "endpoint": ["sim-swap/check"] * len(numbers),
            "change": ["newly_positive" if new else None for new in numbers.values()],
            "before_latest_change_at": [None] * len(numbers),
            "after_latest_change_at": [None] * len(numbers),
        },
        schema_overrides={
            "e164": pl.String,
            "endpoint": pl.String,
            "region": pl.String,
            "change": pl.String,
            "before_latest_change_at": pl.Datetime("us", "UTC"),
            "after_latest_change_at": pl.Datetime("us", "UTC"),
        },
    )


def block(prefix: str, count: int, new: int, digits: int = 11) -> dict[str, bool]:
    """``count`` numbers that begin with the prefix, ``new`` of them newly swapped."""
    room = 1 + digits - len(prefix)
    return {f"{prefix}{i:0{room}d}": i < new for i in range(count)}


def marks(*frames: pl.DataFrame, bounds: Cohorts = BOUNDS) -> Marks:
    tally = Tally()
    for frame in frames:
        tally.add(frame)
    return Marks(tally, bounds)


def names(found: Marks) -> list[str]:
    return [cohort.name for cohort in found.cohorts]


QUIET = pairs_of(block("+493023", 1000, 10))


def test_a_block_that_moved_is_marked_with_its_figures() -> None:
    found = marks(QUIET, pairs_of(block("+491511", 400, 340)))
    assert found.cohorts == [Cohort("block", "+491511…", 400, 340, 0.85, 0.01)]


def test_a_country_that_moved_is_marked() -> None:
    # Its blocks are too small to be judged one by one.
    small = {n: new for b in range(100, 1000, 15) for n, new in block(f"+44{b}", 2, 1, 12).items()}
    found = marks(QUIET, pairs_of(small, "GB"))
    assert found.cohorts == [Cohort("country", "GB", 120, 60, 0.5, 0.01)]


def test_several_blocks_that_moved_do_not_hide_each_other() -> None:
    moved = {**block("+491511", 300, 200), **block("+491522", 400, 200)}
    assert names(marks(QUIET, pairs_of(moved))) == ["+491511…", "+491522…"]


@pytest.mark.parametrize(
    ("count", "new", "marked"),
    [(50, 5, True), (49, 49, False), (50, 4, False), (1000, 100, True), (1000, 99, False)],
)
def test_the_least_numbers_and_the_least_share(count: int, new: int, marked: bool) -> None:
    assert bool(names(marks(QUIET, pairs_of(block("+491511", count, new))))) is marked


@pytest.mark.parametrize(("new", "marked"), [(500, True), (499, False)])
def test_the_least_rise(new: int, marked: bool) -> None:
    usual = pairs_of(block("+493023", 2000, 200))  # 10 %, but not five times anything
    bounds = Cohorts(min_share=0.11)
    assert bool(names(marks(usual, pairs_of(block("+491511", 1000, new)), bounds=bounds))) is marked


def test_without_enough_others_nothing_is_marked() -> None:
    moved = pairs_of(block("+491511", 400, 340))
    assert names(marks(moved)) == []
    assert names(marks(moved, pairs_of(block("+493023", 49, 0)))) == []
    assert names(marks(moved, pairs_of(block("+493023", 50, 0)))) == ["+491511…"]
    assert names(marks()) == []


def test_blocks_are_as_long_as_the_numbers_present_allow() -> None:
    # Ten numbers in each block of six digits, a hundred in each of five.
    sparse = {
        f"+49151{a}{b}{i:05d}": a == 0 for a in range(10) for b in range(10) for i in range(10)
    }
    found = marks(pairs_of(sparse))
    assert names(found) == ["+491510…"]
    assert found.cohorts[0].numbers == 100


def test_a_block_is_never_a_whole_number() -> None:
    short = {f"+2907{i:03d}": i < 90 for i in range(100)} | {
        f"+2908{i:03d}": False for i in range(100)
    }
    found = marks(pairs_of(short, "SH"))
    assert all(len(name) - 1 <= 7 for name in names(found))
    assert not {name.removesuffix("…") for name in names(found)} & short.keys()
    assert names(found) == ["+290…"] or names(found) == []


def test_numbers_without_a_region_have_blocks_and_no_country() -> None:
    found = marks(QUIET, pairs_of(block("+88216", 400, 340, 12), None))
    assert [(c.level, c.name) for c in found.cohorts] == [("block", "+882160…")]


def test_rows_name_their_cohort_and_only_new_positives_are_likely_migrations() -> None:
    moved = pairs_of(block("+491511", 400, 340))
    found = marks(QUIET, moved)
    rows = found.mark(pl.concat([moved, QUIET]))
    assert rows["e164"].to_list() == [*moved["e164"], *QUIET["e164"]]
    assert rows["cohort"].to_list() == ["+491511…"] * 400 + [None] * 1000
    assert rows["likely_migration"].to_list() == [True] * 340 + [False] * 1060
    assert rows.columns == [*moved.columns, "cohort", "likely_migration"]


def test_a_number_counts_once_whatever_it_was_asked() -> None:
    twice = pl.concat([QUIET, QUIET.with_columns(endpoint=pl.lit("device-swap/check"))])
    tally = Tally()
    tally.add(twice)
    assert tally.numbers == 1000
    assert tally.counts["rises"].sum() == 10


@examples(40)
@given(
    st.dictionaries(st.integers(0, 399), st.booleans(), max_size=120),
    st.integers(1, 40),
    st.sampled_from([0.1, 0.5]),
    st.sampled_from([1.0, 5.0]),
)
def test_shares_are_what_plain_python_counts(
    numbers: dict[int, bool], least: int, share: float, rise: float
) -> None:
    e164 = {f"+49{150 + i // 100}{i // 50}{i:06d}": new for i, new in numbers.items()}
    bounds = Cohorts(min_numbers=least, min_share=share, min_rise=rise)
    found = marks(pairs_of(e164), bounds=bounds)
    for cohort in found.cohorts:
        inside = {n: new for n, new in e164.items() if n.startswith(cohort.name.removesuffix("…"))}
        assert cohort.level == "block"
        assert (cohort.numbers, cohort.newly_positive) == (len(inside), sum(inside.values()))
        assert cohort.numbers >= least
        assert cohort.share == round(cohort.newly_positive / cohort.numbers, 6)
        assert cohort.share >= max(share, rise * cohort.usual_share) - 1e-5
