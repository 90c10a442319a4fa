from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pytest

from batch_screen.output.parts import ERRORS, LOOKUPS, RESULTS
from batch_screen.output.placing import Placing
from batch_screen.output.reread import Part
from batch_screen.plan import MAX_SHARDS, shard_of

from .frames import number

NUMBERS = [number(i) for i in range(600)]


def parts(shards: int, numbers: list[str]) -> dict[int, pl.DataFrame]:
    frame = pl.DataFrame({"e164": numbers}, schema={"e164": pl.String})
    placed = frame.with_columns(part=shard_of(pl.col("e164"), shards).cast(pl.Int64))
    split = placed.partition_by("part", as_dict=True, include_key=False)
    return {int(key[0]): frame for key, frame in sorted(split.items())}


def strays(frames: dict[int, pl.DataFrame], shards: int) -> Iterator[str]:
    placing = Placing(shard_of, shards)
    for part, frame in frames.items():
        names = dict.fromkeys((RESULTS, LOOKUPS, ERRORS), f"part {part}")
        for found in placing.misplaced(Part(part, frame, frame, frame, names)):
            yield f"{found.where}: {found.what}"


@pytest.mark.parametrize("shards", [1, 2, 3, 20, MAX_SHARDS])
def test_numbers_lie_where_the_plan_puts_them(shards: int) -> None:
    assert list(strays(parts(shards, NUMBERS), shards)) == []


def test_the_last_shards_may_be_empty() -> None:
    frames = parts(20, NUMBERS)
    assert list(strays({part: frames[part] for part in range(17)}, 20)) == []


def test_a_number_in_another_part() -> None:
    frames = parts(3, NUMBERS)
    frames[0] = pl.concat([frames[0], frames[2].head(2)])
    assert list(strays(frames, 3)) == ["part 0: 2 rows whose number belongs to another part"]


def test_parts_that_changed_names() -> None:
    frames = parts(3, NUMBERS)
    frames[0], frames[1] = frames[1], frames[0]
    assert [line[:7] for line in strays(frames, 3)] == ["part 0:", "part 1:"]


def test_another_count_than_the_manifest_says() -> None:
    assert list(strays(parts(3, NUMBERS), 4)) != []


def test_what_is_no_number_is_left_to_others() -> None:
    frames = {0: pl.DataFrame({"e164": ["", "+", "+44abc", None, "0"]})}
    assert list(strays(frames, 2)) == []
