from __future__ import annotations

from math import gcd
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.output.parts import LOOKUPS
from batch_screen.output.reread import DamagedPartError
from batch_screen.output.sides import MOST_READS, Side, Unit, ways_to_deal

from .two_nights import CHECK, DATE, Night


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
    side = Side(night.layout, shards)
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
        Side(night.layout, len(night.plan.shards))
