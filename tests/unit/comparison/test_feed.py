"""Feeds of runs that were dealt out into any numbers of shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from math import gcd
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.comparison.changes import changed, paired
from batch_screen.comparison.feed import (
    MOST_READS,
    ChangeFeed,
    RunFacts,
    RunTables,
    Unit,
    feed_of,
    shared_endpoints,
    ways_to_deal,
)
from batch_screen.config.screening import Cohorts
from batch_screen.config.sections import Output
from batch_screen.planning.shards import shard_of
from batch_screen.runs.layout import LOOKUPS, RESULTS, Layout
from batch_screen.schema import CHANGES, conform, dtypes, results
from batch_screen.schema import LOOKUPS as LOOKUP_COLUMNS
from batch_screen.tables.reader import DamagedPartError
from batch_screen.tables.summary import Change
from tests.thoroughness import examples
from tests.unit.tables.frames import outcome, outcomes_of

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
    rows = numbers.with_columns(region=pl.lit("GB"))
    frames = {
        LOOKUPS: conform(lookups.with_columns(run_id=pl.lit(RUNS[night])), LOOKUP_COLUMNS),
        RESULTS: conform(rows.with_columns(run_id=pl.lit(RUNS[night])), results({})),
    }
    for table, frame in frames.items():
        lies_in = frame.select(shard_of(pl.col("e164"), shards)).to_series()
        if held == 1:
            for shard in range(shards):
                mine = frame.filter(lies_in == shard)
                if mine.height or not shard:
                    layout.write_part(table, shard, mine, Output())
            continue
        for part in range(shards // held):
            with layout.growing_part(table, part, shards, Output()) as spool:
                for shard in range(part, shards, shards // held):
                    spool.add(frame.filter(lies_in == shard))
    return RunTables(layout, shards)


def told(night: int, numbers: int) -> RunFacts:
    return RunFacts(RUNS[night], DAYS[night], numbers, (CHECK.value, DATE.value))


@contextmanager
def fed(
    folder: Path, earlier: RunTables, later: RunTables, sizes: tuple[int, int]
) -> Iterator[ChangeFeed]:
    with feed_of(
        (told(0, sizes[0]), earlier),
        (told(1, sizes[1]), later),
        Cohorts(),
        shard_of=shard_of,
        scratch=folder,
        on_shard=lambda _: None,
    ) as feed:
        yield feed


DIGITS = st.dictionaries(st.integers(0, 300), st.integers(0, 3), min_size=1, max_size=80)
SHARDS = st.sampled_from([(1, 1), (3, 3), (1, 4), (4, 1), (3, 2), (5, 7), (7, 5), (6, 9), (1, 12)])


@examples(40)
@given(DIGITS, DIGITS, SHARDS)
def test_the_feed_is_the_same_however_both_runs_were_dealt_out(
    tmp_path_factory: pytest.TempPathFactory,
    before: dict[int, int],
    after: dict[int, int],
    shards: tuple[int, int],
) -> None:
    folder = tmp_path_factory.mktemp("fed")
    nights = [answered(before, 0), answered(after, 1)]
    sides = [written(folder, n, nights[n], shards[n]) for n in (0, 1)]
    expected = changed(paired(*nights)).sort("e164", "endpoint")
    with fed(folder, sides[0], sides[1], (len(before), len(after))) as feed:
        frames = list(feed.frames())
        changes = feed.changes
    assert len(frames) == shards[1]
    found = pl.concat(frames)
    assert found.schema == dtypes(CHANGES)
    assert found.sort("e164", "endpoint").select(expected.columns).equals(expected)
    for shard, frame in enumerate(frames):
        assert frame.select((shard_of(pl.col("e164"), shards[1]) == shard).all()).item()
    both = before.keys() & after.keys()
    sums = (changes.numbers_compared, changes.numbers_new, changes.numbers_gone)
    assert sums == (len(both), len(after) - len(both), len(before) - len(both))
    counts = Counter(zip(expected["endpoint"], expected["change"], strict=True))
    assert changes.endpoints == {
        endpoint.value: {change.value: counts[endpoint.value, change.value] for change in Change}
        for endpoint in (CHECK, DATE)
    }
    assert not list(folder.glob("**/.*.tmp"))


def test_a_run_against_itself_changes_nothing(tmp_path: Path) -> None:
    side = written(tmp_path, 1, answered({i: i % 4 for i in range(200)}, 1), 3)
    with fed(tmp_path, side, side, (200, 200)) as feed:
        assert [frame.height for frame in feed.frames()] == [0, 0, 0]
        assert {n for counts in feed.changes.endpoints.values() for n in counts.values()} == {0}
        assert feed.changes.numbers_compared == 200


@pytest.mark.parametrize("shards", [(8, 8), (8, 4), (3, 8), (8, 5), (128, 1)])
@pytest.mark.parametrize("held", [(4, 4), (4, 1), (1, 4)])
def test_parts_that_hold_several_shards(
    tmp_path: Path, shards: tuple[int, int], held: tuple[int, int]
) -> None:
    nights = [answered({i: (i + n) % 4 for i in range(150)}, n) for n in (0, 1)]
    sides = [
        written(tmp_path, n, nights[n], shards[n], held[n] if shards[n] % held[n] == 0 else 1)
        for n in (0, 1)
    ]
    with fed(tmp_path, sides[0], sides[1], (150, 150)) as feed:
        found = pl.concat(feed.frames()).sort("e164", "endpoint")
    assert found["e164"].to_list() == changed(paired(*nights))["e164"].to_list()
    assert found.height > 100


def test_few_rows_are_in_memory_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No frame that is joined has more rows than a shard, whatever the other run looks like."""
    nights = [answered(dict.fromkeys(range(3000), n), n) for n in (0, 1)]
    sides = [written(tmp_path, 0, nights[0], 2), written(tmp_path, 1, nights[1], 30)]
    assert ways_to_deal(2, 30) == 30
    largest = max(f.height for s in range(30) if (f := sides[1].lookups(s, [CHECK.value])).height)
    heights: list[int] = []
    read = pq.ParquetFile.read_row_group

    def noting(self: pq.ParquetFile, *args: object, **kwargs: object) -> object:
        table = read(self, *args, **kwargs)
        heights.append(table.num_rows)
        return table

    with fed(tmp_path, sides[0], sides[1], (3000, 3000)) as feed:
        monkeypatch.setattr(pq.ParquetFile, "read_row_group", noting)
        assert sum(frame.height for frame in feed.frames()) == feed.changes.numbers_compared * 2
    assert max(heights) <= 2 * largest


def test_what_only_one_run_asked_is_named() -> None:
    one = RunFacts("a", "d", 1, ("sim-swap/check", "device-swap/check"))
    other = RunFacts("b", "d", 1, ("call-forwarding/check", "sim-swap/check"))
    assert shared_endpoints(one, other) == (
        ["sim-swap/check"],
        ["call-forwarding/check", "device-swap/check"],
    )


@given(st.integers(1, 600), st.integers(1, 600))
def test_no_file_is_read_often_and_dealt_files_fit_the_later_run(earlier: int, later: int) -> None:
    ways = ways_to_deal(earlier, later)
    if ways == 0:
        assert later // gcd(earlier, later) <= MOST_READS
    else:
        assert later % ways == 0
        assert ways <= 128


def test_a_shard_has_its_lookups_and_the_regions_of_its_numbers(tmp_path: Path) -> None:
    night = Night(tmp_path, endpoints=[CHECK, DATE])
    night.report()
    shards = len(night.plan.shards)
    side = RunTables(night.layout, shards)
    for shard in range(shards):
        numbers = side.regions(shard)
        assert numbers.height == night.plan.shards[shard].unique_numbers
        assert set(numbers["region"]) == {"GB"}
        lookups = side.lookups(shard, [DATE.value])
        assert sorted(lookups["e164"]) == sorted(numbers["e164"])
        assert set(lookups["endpoint"]) == {DATE.value}
    assert side.lookups(shards, [DATE.value]).is_empty()
    assert sum(frame.height for frame in side.all_lookups()) == 240


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    night = Night(tmp_path)
    night.report()
    path = night.layout.parts(LOOKUPS)[0]
    path.write_bytes(b"PAR1 +447700900123 PAR1")
    with pytest.raises(DamagedPartError, match="no whole Parquet file") as caught:
        list(Unit(path).frames())
    assert caught.value.where == path.name
    with pytest.raises(DamagedPartError):
        RunTables(night.layout, len(night.plan.shards))
