from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.comparison.changes import Marks, Tally, changed, is_rise, paired
from batch_screen.config.screening import Cohorts
from batch_screen.model import Endpoint
from batch_screen.privacy.ids import NumberIds
from batch_screen.tables.coverage import Change, Cohort
from tests.thoroughness import examples
from tests.unit.tables.frames import number, outcome

from .two_nights import CHECK, DATE, FORWARDING, UNKNOWN, dated, instant, lookups_of, swapped

BEFORE, AFTER = instant("2026-11-22"), instant("2026-11-23")
SKIPPED = {"outcome": "skipped"}
ACTIVE, QUIET = {"active": True}, {"active": False}


def told(endpoint: Endpoint, before: dict[str, Any], after: dict[str, Any]) -> pl.DataFrame:
    return paired(
        lookups_of([outcome(1, endpoint, **{"responded_at": BEFORE, **before})]),
        lookups_of([outcome(1, endpoint, **{"responded_at": AFTER, **after})]),
    )


@pytest.mark.parametrize(
    ("endpoint", "before", "after", "change"),
    [
        (CHECK, swapped(False), swapped(True), "newly_positive"),
        (CHECK, UNKNOWN, swapped(True), "newly_positive"),
        (CHECK, swapped(True), swapped(False), "newly_negative"),
        (CHECK, swapped(True), UNKNOWN, "became_unknown"),
        (CHECK, swapped(False), UNKNOWN, "became_unknown"),
        (CHECK, UNKNOWN, swapped(False), "became_known"),
        (CHECK, UNKNOWN, UNKNOWN, None),
        (CHECK, swapped(False), SKIPPED, None),
        (CHECK, swapped(True), SKIPPED, None),
        (CHECK, SKIPPED, swapped(False), None),
        (CHECK, SKIPPED, swapped(True), "newly_positive"),
        (CHECK, UNKNOWN, {"outcome": "not_found"}, None),
        (CHECK, swapped(False), swapped(False), None),
        (CHECK, swapped(True), swapped(True), None),
        (DATE, dated(None), dated("2020-01-01"), "newly_positive"),
        (DATE, UNKNOWN, dated("2020-01-01"), "newly_positive"),
        (DATE, dated("2020-01-01"), dated("2026-11-22"), "date_moved"),
        (DATE, dated("2026-11-22"), dated("2020-01-01"), "date_moved"),
        (DATE, dated("2020-01-01"), dated("2020-01-01"), None),
        (DATE, dated("2020-01-01"), dated(None), "newly_negative"),
        (DATE, dated(None), dated(None), None),
        (DATE, dated(None), UNKNOWN, "became_unknown"),
        (DATE, UNKNOWN, dated(None), "became_known"),
        (FORWARDING, QUIET, ACTIVE, "newly_positive"),
        (FORWARDING, ACTIVE, QUIET, "newly_negative"),
        (FORWARDING, ACTIVE, ACTIVE, None),
    ],
)
def test_each_rule(
    endpoint: Endpoint, before: dict[str, Any], after: dict[str, Any], change: str | None
) -> None:
    pairs = told(endpoint, before, after)
    assert pairs["change"].to_list() == [change]
    assert changed(pairs).height == (change is not None)


@pytest.mark.parametrize(
    ("minutes", "change"), [(1439, "newly_positive"), (1440, None), (2400, None)]
)
def test_swapped_again_is_another_swap_if_the_windows_do_not_overlap(
    minutes: int, change: str | None
) -> None:
    again = {"swapped": True, "max_age_minutes": minutes}
    assert told(CHECK, again, again)["change"].to_list() == [change]
    unsure = told(CHECK, {**again, "responded_at": None}, again)
    assert unsure["change"].to_list() == [None]


@pytest.mark.parametrize(
    ("endpoint", "before", "after", "rise"),
    [
        (CHECK, swapped(False), swapped(True), True),
        (CHECK, swapped(True), swapped(False), False),
        (DATE, dated(None), dated("2020-01-01"), True),
        (DATE, dated("2020-01-01"), dated("2026-11-22"), True),
        (DATE, dated("2026-11-22"), dated("2020-01-01"), False),
        (DATE, UNKNOWN, dated(None), False),
        (FORWARDING, QUIET, ACTIVE, False),
        (CHECK, swapped(False), swapped(False), False),
    ],
)
def test_what_counts_towards_a_cohorts_rise(
    endpoint: Endpoint, before: dict[str, Any], after: dict[str, Any], rise: bool
) -> None:
    assert told(endpoint, before, after).select(is_rise()).to_series().to_list() == [rise]


POSITIVE_WORDS = {"swapped": True, "active": True, "latest_change": "reported"}
IDS = NumberIds(bytes(32))
KEYS = st.tuples(st.integers(0, 6), st.sampled_from(Endpoint))


@st.composite
def nights(draw: st.DrawFn, responded_at: Any) -> dict[tuple[int, Endpoint], dict[str, Any]]:
    found = {}
    for i, endpoint in draw(st.sets(KEYS, max_size=25)):
        kind = draw(st.sampled_from(["unknown", "negative", "old", "new"]))
        values: dict[str, Any] = {}
        if kind == "unknown":
            values = {"outcome": draw(st.sampled_from(["timeout", "not_found", "skipped"]))}
        elif endpoint.answers_date:
            day = {"negative": None, "old": "2020-01-01", "new": "2026-11-21"}[kind]
            values = dated(day)
        else:
            name = "swapped" if endpoint.takes_max_age else "active"
            values = {name: kind != "negative"}
        if endpoint.takes_max_age:
            values["max_age_minutes"] = draw(st.sampled_from([60, 2400]))
        found[i, endpoint] = outcome(i, endpoint, responded_at=responded_at, **values)
    return found


def naive(before: dict[str, Any], after: dict[str, Any]) -> str | None:
    """The rules once more, as a person would write them down."""
    known = [row["outcome"] == "success" for row in (before, after)]
    positive = [
        is_known and any(row.get(n) == v for n, v in POSITIVE_WORDS.items())
        for is_known, row in zip(known, (before, after), strict=True)
    ]
    if not known[1]:
        return "became_unknown" if known[0] and after["outcome"] != "skipped" else None
    if not positive[1]:
        if not known[0]:
            return None if before["outcome"] == "skipped" else "became_known"
        return "newly_negative" if positive[0] else None
    if not positive[0]:
        return "newly_positive"
    if before.get("latest_change_at") != after.get("latest_change_at"):
        return "date_moved"
    window = timedelta(minutes=after.get("max_age_minutes") or 10**6)
    is_apart = AFTER - window > BEFORE
    return "newly_positive" if after.get("swapped") and is_apart else None


@examples(80)
@given(nights(BEFORE), nights(AFTER))
def test_changes_are_what_plain_python_finds(
    before: dict[tuple[int, Endpoint], dict[str, Any]],
    after: dict[tuple[int, Endpoint], dict[str, Any]],
) -> None:
    found = changed(paired(lookups_of(before.values()), lookups_of(after.values())))
    expected = {
        (number(i), endpoint.value): change
        for i, endpoint in before.keys() & after.keys()
        if (change := naive(before[i, endpoint], after[i, endpoint]))
    }
    rows = {(r["e164"], r["endpoint"]): r["change"] for r in found.iter_rows(named=True)}
    assert rows == expected
    assert list(rows) == sorted(rows)
    assert set(rows.values()) <= set(Change)
    again = paired(lookups_of(after.values()), lookups_of(after.values()))
    assert again["change"].null_count() == again.height


@examples(40)
@given(nights(BEFORE), nights(AFTER))
def test_ids_say_the_same_as_numbers(
    before: dict[tuple[int, Endpoint], dict[str, Any]],
    after: dict[tuple[int, Endpoint], dict[str, Any]],
) -> None:
    frames = [lookups_of(night.values()) for night in (before, after)]
    by_id = [frame.with_columns(IDS.of(frame["e164"])).drop("e164") for frame in frames]
    one, two = paired(frames[0], frames[1]), paired(by_id[0], by_id[1], "number_id")
    one = one.with_columns(IDS.of(one["e164"])).select(two.columns)
    assert one.sort("number_id", "endpoint").equals(two)


def test_before_and_after_stand_side_by_side() -> None:
    [row] = changed(told(DATE, dated("2020-01-01"), dated("2026-11-22"))).rows(named=True)
    assert row["before_latest_change_at"] == instant("2020-01-01", 1)
    assert row["after_latest_change_at"] == instant("2026-11-22", 1)
    assert (row["before_responded_at"], row["after_responded_at"]) == (BEFORE, AFTER)
    assert (row["before_outcome"], row["after_swapped"]) == ("success", None)


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


QUIET_OF_COHORTS = pairs_of(block("+493023", 1000, 10))


def test_a_block_that_moved_is_marked_with_its_figures() -> None:
    found = marks(QUIET_OF_COHORTS, pairs_of(block("+491511", 400, 340)))
    assert found.cohorts == [Cohort("block", "+491511…", 400, 340, 0.85, 0.01)]


def test_a_country_that_moved_is_marked() -> None:
    # Its blocks are too small to be judged one by one.
    small = {n: new for b in range(100, 1000, 15) for n, new in block(f"+44{b}", 2, 1, 12).items()}
    found = marks(QUIET_OF_COHORTS, pairs_of(small, "GB"))
    assert found.cohorts == [Cohort("country", "GB", 120, 60, 0.5, 0.01)]


def test_several_blocks_that_moved_do_not_hide_each_other() -> None:
    moved = {**block("+491511", 300, 200), **block("+491522", 400, 200)}
    assert names(marks(QUIET_OF_COHORTS, pairs_of(moved))) == ["+491511…", "+491522…"]


@pytest.mark.parametrize(
    ("count", "new", "marked"),
    [(50, 5, True), (49, 49, False), (50, 4, False), (1000, 100, True), (1000, 99, False)],
)
def test_the_least_numbers_and_the_least_share(count: int, new: int, marked: bool) -> None:
    assert bool(names(marks(QUIET_OF_COHORTS, pairs_of(block("+491511", count, new))))) is marked


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
    found = marks(QUIET_OF_COHORTS, pairs_of(block("+88216", 400, 340, 12), None))
    assert [(c.level, c.name) for c in found.cohorts] == [("block", "+882160…")]


def test_rows_name_their_cohort_and_only_new_positives_are_likely_migrations() -> None:
    moved = pairs_of(block("+491511", 400, 340))
    found = marks(QUIET_OF_COHORTS, moved)
    rows = found.mark(pl.concat([moved, QUIET_OF_COHORTS]))
    assert rows["e164"].to_list() == [*moved["e164"], *QUIET_OF_COHORTS["e164"]]
    assert rows["cohort"].to_list() == ["+491511…"] * 400 + [None] * 1000
    assert rows["likely_migration"].to_list() == [True] * 340 + [False] * 1060
    assert rows.columns == [*moved.columns, "cohort", "likely_migration"]


def test_a_number_counts_once_whatever_it_was_asked() -> None:
    twice = pl.concat(
        [QUIET_OF_COHORTS, QUIET_OF_COHORTS.with_columns(endpoint=pl.lit("device-swap/check"))]
    )
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
