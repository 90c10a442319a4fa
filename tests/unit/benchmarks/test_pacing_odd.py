"""What the table of odd answers makes of what was seen."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from benchmarks.pacing.contestants import ENDPOINT
from benchmarks.pacing.figures import Arrivals
from benchmarks.pacing.odd import Seen, cells, successes
from benchmarks.pacing.oddities import REFUSAL, chosen
from benchmarks.pacing.trial import Trial
from benchmarks.pacing.worlds import Shape, World

SHAPE = Shape(numbers=10, rate=10, limit=10)
LOOKUPS = SHAPE.lookups
[ODD] = chosen([lookup.partition(" ")[2] for lookup in LOOKUPS], 1)
WORLD = World("one", SHAPE, (REFUSAL._replace(numbers=frozenset({ODD}), times=1),), "1 s")
CLEAN = World("clean", SHAPE, ())


def seen(answered: dict[str, float], refused: int = 0, exit_code: int | None = 0) -> Seen:
    instants = sorted([0.0] * refused + list(answered.values()))
    arrivals = Arrivals(instants, [turn >= refused for turn in range(len(instants))])
    tried = Trial(arrivals, 0.0, exit_code is None, 0.002, exit_code, answered)
    return Seen(tried, set(answered) if exit_code == 0 else None)


def row(world: World, run: Seen) -> list[str]:
    return list(cells(world, run, AT_ONCE))


AT_ONCE = seen({lookup: float(turn) / 9 for turn, lookup in enumerate(LOOKUPS)})


def test_the_clean_run_is_once_itself() -> None:
    assert row(CLEAN, AT_ONCE) == [
        *("clean", "1.0 s (1.00 ×)", "1.0 s (1.00 ×)", "1.000 (1.00 ×)", "0 of 10", "–"),
        *("0", "9", "90.0 %", "0.0 %", "–", "2 ms"),
    ]


def test_an_odd_lookup_that_waits_does_not_make_the_others_late() -> None:
    late = dict(AT_ONCE.tried.answered) | {f"{ENDPOINT} {ODD}": 31.0}
    name, wall, done, requests, *missing = row(WORLD, seen(late, refused=1))[:6]
    assert (name, wall, requests) == ("one", "31.0 s (31.00 ×)", "1.100 (1.10 ×)")
    assert done.endswith("(1.00 ×)")
    assert missing == ["0 of 9", "0 of 1"]


def test_others_that_were_never_answered_are_a_share_and_a_stopped_run_has_no_output() -> None:
    others = [lookup for lookup in LOOKUPS if ODD not in lookup]
    few = {lookup: AT_ONCE.tried.answered[lookup] for lookup in others[:3]}
    shown = row(WORLD, seen(few, exit_code=77))
    assert shown[2] == "never (33.3 %)"
    assert not any("×" in cell for cell in shown)
    assert shown[4:7] == ["– of 9", "– of 1", "77"]
    assert row(WORLD, seen(few, exit_code=None))[6] == "stopped after 120 s"


def test_successes_are_read_from_every_file_of_lookups(tmp_path: Path) -> None:
    assert successes(tmp_path) == set()
    for day, outcome in (("2026-11-28", "success"), ("2026-11-29", "rate_limited")):
        folder = tmp_path / "lookups" / f"run_date={day}"
        folder.mkdir(parents=True)
        frame = pl.DataFrame({"e164": [f"+{day[-2:]}"], "endpoint": [ENDPOINT], "outcome": outcome})
        frame.write_parquet(folder / "part.parquet")
    assert successes(tmp_path) == {f"{ENDPOINT} +28"}
