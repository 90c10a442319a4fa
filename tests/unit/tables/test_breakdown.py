from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.sections import Output
from batch_screen.model import Endpoint
from batch_screen.runs.layout import RESULTS, Layout
from batch_screen.schema import conform, results
from batch_screen.tables.breakdown import FUTURE, NO_REGION, Breakdown, Signs, break_down
from batch_screen.tables.results import with_risk
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
    return with_risk(conform(pl.DataFrame(rows, infer_schema_length=None), results({})))


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
    # A check that saw no swap rules out its window, and nothing before it.
    assert found.signs == Signs(sim_only=1, unknown=4, unanswered=2)


def test_dates_fall_into_bands_by_the_time_of_the_answer(tmp_path: Path) -> None:
    ages = [timedelta(hours=1), timedelta(days=6), timedelta(days=400), timedelta(days=-2), "none"]
    rows = [*(row(i, sim_at=age) for i, age in enumerate(ages)), row(9)]
    [regions] = counted(tmp_path, rows, [SIM_AT]).values.values()
    assert regions["GB"] == {
        "<4h": 1,
        "<7d": 1,
        "<2y": 1,
        FUTURE: 1,
        "none_reported": 1,
        "unknown": 1,
    }


def test_a_number_counts_once_however_many_rows_it_has(tmp_path: Path) -> None:
    found = counted(tmp_path, [row(1, sim=True)] * 50 + [row(2, sim=False)], [SIM])
    assert (found.numbers, found.signs.numbers) == (2, 1)
    assert found.values["sim-swap/check"]["GB"] == {"yes": 1, "no": 1}


def test_each_number_has_one_sign(tmp_path: Path) -> None:
    old = {"sim_at": timedelta(days=50), "device_at": timedelta(days=50)}
    rows = [
        row(1, sim=True, device=True, forwarded=True, **old),
        row(2, sim=True, device=False, forwarded=True, **old),
        row(3, sim=False, device=True, forwarded=False, **old),
        row(4, sim=False, device=False, forwarded=True, **old),
        row(5, sim=False, device=False, forwarded=None, **old),
        row(6, sim=False, device=False, forwarded=False, **old),
        row(7, sim=False, device=None, forwarded=False, **old),  # its date answers for it
        row(8, sim=False, device=False, forwarded=False, **{**old, "device_at": "none"}),
        row(9, sim=True, device=None, forwarded=None),  # a sign, however much is unknown
    ]
    found = counted(tmp_path, rows)
    assert found.signs == Signs(
        sim_and_device=1, sim_only=2, device_only=1, forwarded=1, unknown=2, unanswered=1
    )
    assert found.signs.numbers == 5


@pytest.mark.parametrize(
    ("days", "signs"),
    [
        (-2, Signs(unknown=1)),
        (-1, Signs(sim_only=1)),
        (6, Signs(sim_only=1)),
        (7, Signs()),
    ],
)
def test_a_date_is_a_sign_beside_a_check_and_alone(tmp_path: Path, days: int, signs: Signs) -> None:
    rows = [row(1, sim=False, sim_at=timedelta(days=days))]
    assert counted(tmp_path, rows, [SIM_AT]).signs == signs
    assert counted(tmp_path, rows, [SIM, SIM_AT]).signs == signs


def test_what_was_not_asked_makes_nothing_unknown(tmp_path: Path) -> None:
    rows = [row(1, forwarded=False), row(2, forwarded=None)]
    assert counted(tmp_path, rows, [FORWARDING]).signs == Signs(unknown=1, unanswered=1)


def test_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    pl.DataFrame(schema=frame([row(1)]).schema).write_parquet(path)
    for paths in ([path], []):
        found = break_down(paths, ALL)
        assert (found.numbers, found.signs) == (0, Signs())
        assert found.values == {endpoint.value: {} for endpoint in ALL}


REGIONS = st.sampled_from(["GB", "DE", None])
SAID = st.sampled_from([True, False, None])
AGES = st.sampled_from([*(timedelta(days=n) for n in (-2, 1, 9)), "none", None])
NUMBERS = st.lists(
    st.fixed_dictionaries(
        {
            "region": REGIONS,
            "sim": SAID,
            "sim_at": AGES,
            "device": SAID,
            "device_at": AGES,
            "forwarded": SAID,
        }
    ),
    min_size=1,
    max_size=12,
)


SIGNALS = st.sets(st.sampled_from(Endpoint), min_size=1)
FLAGS = {
    "risk_sim_recent": {SIM, SIM_AT},
    "risk_device_recent": {DEVICE, DEVICE_AT},
    "risk_forwarding_active": {FORWARDING},
}


@examples(30)
@given(NUMBERS, SIGNALS, st.integers(1, 3))
def test_counts_are_those_of_the_rows_flags_and_bands(
    tmp_path_factory: pytest.TempPathFactory,
    numbers: list[dict[str, Any]],
    asked: set[Endpoint],
    repeats: int,
) -> None:
    """The same counts as of a plain loop, whether the rows lie in one shard or in several."""
    answers = [_only(asked, said) for said in numbers]
    rows = [row(i, **said) for i, said in enumerate(answers) for _ in range(repeats)]
    layout = Layout(tmp_path_factory.mktemp("out"), "20261123-c0ffee0000", "2026-11-23")
    with layout.opened_part(RESULTS, range(4), 4, Output()) as write:
        for shard in range(4):
            held = [r for r in rows if int(r["e164"][-5:]) % 4 == shard]
            write(frame(held) if held else frame(rows).clear())
    found = break_down(layout.parts(RESULTS), [e for e in Endpoint if e in asked])
    once = list({r["e164"]: r for r in frame(rows).iter_rows(named=True)}.values())
    assert found.numbers == len(numbers) == len(once)
    if SIM in asked:
        assert found.values["sim-swap/check"] == _by_region(answers, "sim")
    for date, column in ((SIM_AT, "sim_change_age_band"), (DEVICE_AT, "device_change_age_band")):
        if date in asked:
            assert _bands(found, date) == Counter(r[column] for r in once)
    assert found.signs == _signs(once, asked)


def _only(asked: set[Endpoint], said: dict[str, Any]) -> dict[str, Any]:
    """What a row holds where nothing else was asked."""
    names = dict(zip(Endpoint, ("sim", "sim_at", "device", "device_at", "forwarded"), strict=True))
    return {"region": said["region"], **{names[e]: said[names[e]] for e in asked}}


def _bands(found: Breakdown, date: Endpoint) -> Counter[str | None]:
    """Numbers by band; whatever stands in place of one is None, as in the rows."""
    counts: Counter[str | None] = Counter()
    for values in found.values[date.value].values():
        for name, count in values.items():
            counts[None if name in ("none_reported", "unknown", FUTURE) else name] += count
    return counts


def _signs(rows: list[dict[str, Any]], asked: set[Endpoint]) -> Signs:
    counts: Counter[str] = Counter()
    for r in rows:
        sim, device, forwarded = (r[flag] is True for flag in FLAGS)
        assert (r["risk_sim_and_device_recent"] is True) == (sim and device)
        missing = [e & asked for flag, e in FLAGS.items() if r[flag] is None and e & asked]
        if sim or device:
            name = "sim_and_device" if sim and device else "sim_only" if sim else "device_only"
            counts[name] += 1
        elif forwarded:
            counts["forwarded"] += 1
        elif missing:
            counts["unknown"] += 1
            counts["unanswered"] += any(_is_unanswered(r, e) for some in missing for e in some)
    return Signs(**counts)


def _is_unanswered(r: dict[str, Any], endpoint: Endpoint) -> bool:
    word = "swapped" if endpoint.takes_max_age else "active"
    return r[f"{endpoint.column}_{'latest_change' if endpoint.answers_date else word}"] is None


def _by_region(numbers: list[dict[str, Any]], name: str) -> dict[str, dict[str, int]]:
    words = {True: "yes", False: "no", None: "unknown"}
    counts: dict[str, dict[str, int]] = {}
    for said in numbers:
        values = counts.setdefault(said["region"] or NO_REGION, {})
        values[words[said.get(name)]] = values.get(words[said.get(name)], 0) + 1
    return counts
