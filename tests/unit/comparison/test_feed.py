"""Feeds of runs whose numbers are partitioned into any numbers of shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from random import Random

import polars as pl
import pytest

from batch_screen.comparison.changes import changed, paired
from batch_screen.comparison.feed import (
    ChangeFeed,
    RunFacts,
    RunTables,
    Unit,
    feed_of,
    shared_endpoints,
    units,
)
from batch_screen.comparison.previous import opened, recorded
from batch_screen.config.screening import Cohorts
from batch_screen.config.sections import Output
from batch_screen.planning.shards import shard_of
from batch_screen.runs.layout import LOOKUPS, RESULTS, Layout
from batch_screen.schema import CHANGES, conform, dtypes, results
from batch_screen.schema import LOOKUPS as LOOKUP_COLUMNS
from batch_screen.tables.coverage import Change
from batch_screen.tables.reader import DamagedPartError
from tests.thoroughness import IS_FULL, in_full
from tests.unit.tables.frames import outcome, outcomes_of

from .test_changes import naive
from .two_nights import CHECK, DATE, Night, dated, instant, swapped

RUNS = ("20261122-0123456789", "20261123-0123456789")
DAYS = ("2026-11-22", "2026-11-23")


def answered(numbers: dict[int, int], night: int) -> pl.DataFrame:
    """Lookups whose values follow from a digit for each number."""
    at = instant(DAYS[night])
    rows = [
        outcome(i, endpoint, responded_at=at, **values)
        for i, digit in numbers.items()
        for endpoint, values in (
            (CHECK, {"outcome": "timeout"} if digit == 2 else swapped(digit == 1)),
            (DATE, dated(None if digit == 0 else f"2020-01-0{1 + digit}")),
        )
    ]
    return outcomes_of(rows)


def written(
    folder: Path, night: int, lookups: pl.DataFrame, shards: int, held: int = 1
) -> RunTables:
    """The tables of a run in so many shards, ``held`` of them in a part."""
    layout = Layout(folder, RUNS[night], DAYS[night])
    numbers = lookups.select("e164").unique(maintain_order=True)
    twice = pl.concat([numbers, numbers[::3]])  # duplicates in the list
    rows = twice.with_columns(region=pl.lit("GB"))
    frames = {
        LOOKUPS: conform(lookups.with_columns(run_id=pl.lit(RUNS[night])), LOOKUP_COLUMNS),
        RESULTS: conform(rows.with_columns(run_id=pl.lit(RUNS[night])), results({})),
    }
    for table, frame in frames.items():
        lies_in = frame.select(shard_of(pl.col("e164"), shards)).to_series()
        for part in range(shards // held):
            of_part = range(part, shards, shards // held)
            with layout.opened_part(table, of_part, shards, Output()) as write:
                for shard in of_part:
                    write(frame.filter(lies_in == shard))
    facts = RunFacts(RUNS[night], DAYS[night], numbers.height, (CHECK.value, DATE.value))
    return RunTables(facts, layout, shards)


@contextmanager
def fed(
    folder: Path,
    earlier: RunTables,
    later: RunTables,
    on_shard: Callable[[int], None] = lambda _: None,
) -> Iterator[ChangeFeed]:
    with feed_of(earlier, later, Cohorts(), scratch=folder, on_shard=on_shard) as feed:
        yield feed


@pytest.mark.parametrize("seed", range(40 if IS_FULL else 2))
def test_the_feed_is_a_join_of_all_lookups(tmp_path: Path, seed: int) -> None:
    """Whatever the runs' sizes and overlap, and however many shards and parts they have."""
    random = Random(seed)
    most = random.choice([3, 30, 300])
    digits: list[dict[int, int]] = [
        {i: random.randrange(4) for i in range(most) if random.random() < share}
        for share in (random.random(), random.random())
    ]
    shards = [2 ** random.randrange(6) for _ in digits]
    held = [random.choice([n for n in (1, 1, 2, 8) if n <= count]) for count in shards]
    lookups = [answered({0: 1, **numbers}, n) for n, numbers in enumerate(digits)]
    runs = [written(tmp_path, n, lookups[n], shards[n], held[n]) for n in (0, 1)]
    sizes = [frame["e164"].n_unique() for frame in lookups]
    heard: list[int] = []
    with fed(tmp_path, runs[0], runs[1], heard.append) as feed:
        frames, changes = list(feed.frames()), feed.changes
    expected, compared = joined(lookups[0], lookups[1])
    found = pl.concat(frames).sort("e164", "endpoint")
    assert found.schema == dtypes(CHANGES)
    assert found.select(expected.columns).equals(expected)
    assert found["likely_migration"].not_().all()
    for shard, frame in enumerate(frames):
        assert frame.select((shard_of(pl.col("e164"), shards[1]) == shard).all()).item()
        assert frame.equals(frame.sort("e164", "endpoint"))
    assert (len(frames), sum(heard)) == (shards[1], shards[1])
    sums = (changes.numbers_compared, changes.numbers_new, changes.numbers_gone)
    assert sums == (compared, sizes[1] - compared, sizes[0] - compared)
    counts = Counter(zip(expected["endpoint"], expected["change"], strict=True))
    assert changes.endpoints == {
        endpoint.value: {change.value: counts[endpoint.value, change.value] for change in Change}
        for endpoint in (CHECK, DATE)
    }
    assert not list(tmp_path.glob("**/.*.tmp"))


def joined(before: pl.DataFrame, after: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Every row of the feed by one join in memory, and how many numbers both runs have."""
    names = ("outcome", "swapped", "active", "latest_change_at", "responded_at")
    both = after.join(before, on=["e164", "endpoint"], suffix="_before").sort("e164", "endpoint")
    changes = [
        naive({n: row[f"{n}_before"] for n in before.columns[2:]}, row)
        for row in both.iter_rows(named=True)
    ]
    rows = both.select(
        "e164",
        "endpoint",
        pl.Series("change", changes, pl.String),
        *(
            pl.col(name).alias(f"{side}_{of}")
            for of in names
            for side, name in (("before", f"{of}_before"), ("after", of))
        ),
    )
    return rows.drop_nulls("change"), both["e164"].n_unique()


def test_a_run_against_itself_changes_nothing(tmp_path: Path) -> None:
    side = written(tmp_path, 1, answered({i: i % 4 for i in range(200)}, 1), 3)
    with fed(tmp_path, side, side) as feed:
        assert [frame.height for frame in feed.frames()] == [0, 0, 0]
        assert {n for counts in feed.changes.endpoints.values() for n in counts.values()} == {0}
        assert feed.changes.numbers_compared == 200


@pytest.mark.parametrize(
    ("shards", "held"),
    [
        ((8, 4), (4, 4)),
        *(
            pytest.param(*each, marks=in_full)
            for each in [
                *product([(8, 4)], [(4, 1), (1, 4)]),
                *product([(4, 8)], [(4, 4), (4, 1), (1, 4)]),
                *product([(8, 8), (12, 8)], [(4, 4), (4, 1), (1, 4)]),
            ]
        ),
        ((128, 1), (4, 1)),
        ((5, 7), (1, 1)),
    ],
)
def test_parts_that_hold_several_shards(
    tmp_path: Path, shards: tuple[int, int], held: tuple[int, int]
) -> None:
    nights = [answered({i: (i + n) % 4 for i in range(150)}, n) for n in (0, 1)]
    sides = [written(tmp_path, n, nights[n], shards[n], held[n]) for n in (0, 1)]
    with fed(tmp_path, sides[0], sides[1]) as feed:
        found = pl.concat(feed.frames()).sort("e164", "endpoint")
    assert found["e164"].to_list() == changed(paired(*nights))["e164"].to_list()
    assert found.height > 100


@pytest.mark.parametrize(("shards", "later_shards"), [(2, 32), (32, 2), (8, 8)])
def test_few_shards_of_the_earlier_run_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shards: int, later_shards: int
) -> None:
    """One for each shard of the later run, or those that nest in it."""
    earlier = written(tmp_path, 0, answered(dict.fromkeys(range(300), 0), 0), shards)
    read: list[Path] = []

    def noting(unit: Unit, _: object) -> list[pl.DataFrame]:
        read.append(unit.path)
        return []

    monkeypatch.setattr(Unit, "frames", noting)
    for shard in range(later_shards):
        earlier.lookups_of(pl.Series("e164", [], pl.String), shard, later_shards)
    assert len(read) == max(shards, later_shards)


def test_what_only_one_run_asked_is_named() -> None:
    one = RunFacts("a", "d", 1, ("sim-swap/check", "device-swap/check"))
    other = RunFacts("b", "d", 1, ("call-forwarding/check", "sim-swap/check"))
    assert shared_endpoints(one, other) == (
        ["sim-swap/check"],
        ["call-forwarding/check", "device-swap/check"],
    )


def test_a_shard_has_its_lookups_and_the_regions_of_its_numbers(tmp_path: Path) -> None:
    night = Night(tmp_path, endpoints=[CHECK, DATE])
    night.report()
    shards = len(night.plan.shards)
    side, _ = opened(recorded(night.layout), [LOOKUPS, RESULTS])
    for shard in range(shards):
        numbers = side.regions(shard)
        assert numbers.height == night.plan.shards[shard].unique_numbers
        assert set(numbers["region"]) == {"GB"}
        lookups = side.lookups(shard, [DATE.value])
        assert sorted(lookups["e164"]) == sorted(numbers["e164"])
        assert set(lookups["endpoint"]) == {DATE.value}
    assert side.lookups(shards, [DATE.value]).is_empty()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    night = Night(tmp_path)
    night.report()
    path = night.layout.parts(LOOKUPS)[0]
    path.write_bytes(b"PAR1 +447700900123 PAR1")
    with pytest.raises(DamagedPartError, match="no whole Parquet file") as caught:
        list(Unit(path).frames())
    assert caught.value.where == path.name
    with pytest.raises(DamagedPartError):
        units(night.layout, LOOKUPS, len(night.plan.shards))
