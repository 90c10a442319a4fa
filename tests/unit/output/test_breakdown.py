from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.output import Output
from batch_screen.model import Endpoint
from batch_screen.output.bands import FUTURE, RECENT
from batch_screen.output.breakdown import NO_REGION, Breakdown, Signs, break_down
from batch_screen.output.parts import RESULTS, Layout
from batch_screen.schema import conform, results
from tests.thoroughness import examples

ALL = list(Endpoint)
NOW = datetime(2026, 11, 23, tzinfo=UTC)
SIM, SIM_AT, DEVICE, DEVICE_AT, FORWARDING = Endpoint


def row(number: int, region: str | None = "GB", **said: Any) -> dict[str, Any]:
    """A row of results; ``sim=True`` and the like, ``sim_at`` as an age or "none"."""
    values: dict[str, Any] = {"e164": f"+4477009{number:05d}", "region": region}
    for name, endpoint in (("sim", SIM), ("device", DEVICE), ("forwarded", FORWARDING)):
        word = "active" if endpoint is FORWARDING else "swapped"
        values[f"{endpoint.column}_{word}"] = said.get(name)
    for name, endpoint in (("sim_at", SIM_AT), ("device_at", DEVICE_AT)):
        age = said.get(name)
        if isinstance(age, timedelta):
            values[f"{endpoint.column}_latest_change"] = "reported"
            values[f"{endpoint.column}_latest_change_at"] = NOW - age
        elif age:
            values[f"{endpoint.column}_latest_change"] = "none_reported"
        values[f"{endpoint.column}_responded_at"] = NOW
    return values


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return conform(pl.DataFrame(rows, infer_schema_length=None), results({}))


def counted(
    folder: Path, rows: list[dict[str, Any]], endpoints: list[Endpoint] | None = None
) -> Breakdown:
    path = folder / "part.parquet"
    frame(rows).write_parquet(path)
    return break_down([path], endpoints or ALL)


def test_three_values_stay_three(tmp_path: Path) -> None:
    rows = [row(1, sim=True), row(2, sim=False), row(3), row(4, "DE", sim=False), row(5, None)]
    found = counted(tmp_path, rows, [SIM])
    assert found.values == {
        "sim-swap/check": {
            "GB": {"yes": 1, "no": 1, "unknown": 1},
            "DE": {"no": 1},
            NO_REGION: {"unknown": 1},
        }
    }
    assert found.numbers == 5
    assert found.signs == Signs(sim_only=1, unknown=2)


def test_dates_fall_into_bands_by_the_time_of_the_answer(tmp_path: Path) -> None:
    ages = [timedelta(hours=1), timedelta(days=6), timedelta(days=400), timedelta(days=-1), "none"]
    rows = [*(row(i, sim_at=age) for i, age in enumerate(ages)), row(9)]
    [regions] = counted(tmp_path, rows, [SIM_AT]).values.values()
    assert regions["GB"] == {
        "under 4 hours": 1,
        "5 to 6 days": 1,
        "1 year": 1,
        FUTURE: 1,
        "none_reported": 1,
        "unknown": 1,
    }


def test_a_number_counts_once_however_many_rows_it_has(tmp_path: Path) -> None:
    found = counted(tmp_path, [row(1, sim=True)] * 50 + [row(2, sim=False)], [SIM])
    assert (found.numbers, found.signs.numbers) == (2, 1)
    assert found.values["sim-swap/check"]["GB"] == {"yes": 1, "no": 1}


def test_each_number_has_one_sign(tmp_path: Path) -> None:
    rows = [
        row(1, sim=True, device=True, forwarded=True),
        row(2, sim=True, device=False, forwarded=True),
        row(3, sim=False, device=True, forwarded=False),
        row(4, sim=False, device=False, forwarded=True),
        row(5, sim=False, device=None, forwarded=False),
        row(6, sim=False, device=False, forwarded=False),
    ]
    found = counted(tmp_path, rows, [SIM, DEVICE, FORWARDING])
    assert found.signs == Signs(sim_and_device=1, sim_only=1, device_only=1, forwarded=1, unknown=1)
    assert found.signs.numbers == 4


@pytest.mark.parametrize(("days", "is_sign"), [(6, True), (7, False)])
def test_where_only_a_date_was_asked_a_young_one_is_a_sign(
    tmp_path: Path, days: int, is_sign: bool
) -> None:
    rows = [row(1, sim=False, sim_at=timedelta(days=days))]
    assert counted(tmp_path, rows, [SIM_AT]).signs.sim_only == int(is_sign)
    assert counted(tmp_path, rows, [SIM, SIM_AT]).signs.sim_only == 0  # the check says no


def test_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    pl.DataFrame(schema=frame([row(1)]).schema).write_parquet(path)
    for paths in ([path], []):
        found = break_down(paths, ALL)
        assert (found.numbers, found.signs) == (0, Signs())
        assert found.values == {endpoint.value: {} for endpoint in ALL}


REGIONS = st.sampled_from(["GB", "DE", None])
SAID = st.sampled_from([True, False, None])
AGES = st.sampled_from([timedelta(days=1), timedelta(days=9), "none", None])
NUMBERS = st.lists(
    st.fixed_dictionaries(
        {"region": REGIONS, "sim": SAID, "device": SAID, "forwarded": SAID, "sim_at": AGES}
    ),
    min_size=1,
    max_size=12,
)


@examples(30)
@given(NUMBERS, st.integers(1, 3))
def test_parts_of_several_shards_are_counted_as_one(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[dict[str, Any]], repeats: int
) -> None:
    """The same counts as of a plain loop, whether the rows lie in one shard or in several."""
    rows = [row(i, **said) for i, said in enumerate(numbers) for _ in range(repeats)]
    layout = Layout(tmp_path_factory.mktemp("out"), "20261123-c0ffee0000", "2026-11-23")
    with layout.growing_part(RESULTS, 0, 4, Output()) as part:
        for shard in range(4):
            held = [r for r in rows if int(r["e164"][-5:]) % 4 == shard]
            part.add(frame(held) if held else frame(rows).clear())
    found = break_down(layout.parts(RESULTS), ALL)
    assert found.numbers == len(numbers)
    assert found.values["sim-swap/check"] == _by_region(numbers, "sim")
    dated = Counter(
        value
        for values in found.values["sim-swap/retrieve-date"].values()
        for value, count in values.items()
        for _ in range(count)
    )
    assert sum(dated[band] for band in RECENT) == sum(
        n["sim_at"] == timedelta(days=1) for n in numbers
    )
    whole = sum(n["sim"] is True or n["device"] is True or n["forwarded"] is True for n in numbers)
    assert found.signs.numbers == whole


def _by_region(numbers: list[dict[str, Any]], name: str) -> dict[str, dict[str, int]]:
    words = {True: "yes", False: "no", None: "unknown"}
    counts: dict[str, dict[str, int]] = {}
    for said in numbers:
        values = counts.setdefault(said["region"] or NO_REGION, {})
        values[words[said[name]]] = values.get(words[said[name]], 0) + 1
    return counts
