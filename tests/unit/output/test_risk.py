from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.model import Endpoint
from batch_screen.output.bands import BANDS, OLDEST
from batch_screen.output.enrich import enrich
from batch_screen.output.risk import RISK_VERSION, count_risk, with_risk
from batch_screen.schema import RISK, dtypes
from tests.thoroughness import examples

from .frames import outcome, outcomes_of, rows_of

AT = datetime(2026, 11, 23, 4, tzinfo=UTC)
RUN = "20261123-c0ffee0000"
HOUR = timedelta(hours=1)
SIM, DEVICE = (
    (Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE),
    (Endpoint.DEVICE_SWAP_CHECK, Endpoint.DEVICE_SWAP_DATE),
)

# As it stands in OUTPUT.md, in minutes and in plain Python.
LIMITS = [
    ("<4h", 240),
    ("<12h", 720),
    ("<1d", 1440),
    ("<2d", 2880),
    ("<5d", 7200),
    ("<7d", 10080),
    ("<14d", 20160),
    ("<30d", 43200),
    ("<60d", 86400),
    ("<90d", 129600),
    ("<180d", 259200),
    ("<1y", 525600),
    ("<2y", 1051200),
    ("<3y", 1576800),
]


def age(row: dict[str, Any], date: Endpoint) -> timedelta | None:
    at, answered = row[f"{date.column}_latest_change_at"], row[f"{date.column}_responded_at"]
    if at is None or answered is None or at - answered > timedelta(days=1):
        return None
    return max(answered - at, timedelta(0))


def band(old: timedelta | None) -> str | None:
    if old is None:
        return None
    return next((name for name, limit in LIMITS if old < timedelta(minutes=limit)), "3y+")


def recent(row: dict[str, Any], check: Endpoint, date: Endpoint) -> bool | None:
    old = age(row, date)
    if row[f"{check.column}_swapped"] is True:
        return True
    return None if old is None else old < timedelta(days=7)


def both(one: bool | None, other: bool | None) -> bool | None:
    if one is False or other is False:
        return False
    return True if one and other else None


def expected(row: dict[str, Any]) -> dict[str, Any]:
    sim, device = age(row, SIM[1]), age(row, DEVICE[1])
    flags = recent(row, *SIM), recent(row, *DEVICE)
    return {
        "sim_change_age_hours": None if sim is None else pytest.approx(sim / HOUR, abs=6e-5),
        "sim_change_age_band": band(sim),
        "device_change_age_hours": None
        if device is None
        else pytest.approx(device / HOUR, abs=6e-5),
        "device_change_age_band": band(device),
        "risk_sim_and_device_recent": both(*flags),
        "risk_sim_recent": flags[0],
        "risk_device_recent": flags[1],
        "risk_forwarding_active": row["call_forwarding_check_active"],
        "risk_version": 1,
    }


LIMIT_MINUTES = [minutes for _, minutes in LIMITS]
AGES = st.one_of(
    st.none(),
    st.timedeltas(timedelta(days=-3), timedelta(days=1500)),
    st.builds(
        lambda minutes, off: timedelta(minutes=minutes, microseconds=off),
        st.sampled_from([*LIMIT_MINUTES, 0, -1440]),
        st.integers(-1, 1),
    ),
)
TRUTH = st.sampled_from([True, False, None])
FAILED = {"outcome": "timeout"}


@st.composite
def answers(draw: st.DrawFn, i: int) -> list[dict[str, Any]]:
    found = []
    for endpoint in draw(st.sets(st.sampled_from(Endpoint))):
        values: dict[str, Any] = {}
        if endpoint.answers_date:
            old = draw(AGES)
            values["latest_change"] = "none_reported" if old is None else "reported"
            values["latest_change_at"] = None if old is None else AT - old
        else:
            value = draw(TRUTH)
            name = "swapped" if endpoint.takes_max_age else "active"
            values = FAILED if value is None else {name: value}
        found.append(outcome(i, endpoint, responded_at=AT, **values))
    return found


@examples(60)
@given(st.data())
def test_the_view_is_what_plain_python_makes_of_the_row(data: st.DataObject) -> None:
    numbers = list(range(5))
    outcomes = outcomes_of(row for i in numbers for row in data.draw(answers(i)))
    enriched = enrich(rows_of(numbers), outcomes, RUN)
    for row in enriched.iter_rows(named=True):
        assert {c.name: row[c.name] for c in RISK} == expected(row)
    assert with_risk(enriched).equals(enriched)
    counted = count_risk([enriched.head(2).lazy(), enriched.tail(3).lazy()])
    for name, values in counted.items():
        assert sum(values.values()) == 5
        for value in {row[name] for row in enriched.iter_rows(named=True)}:
            known = "unknown" if value is None else str(value).lower()
            assert values[known] == enriched.filter(pl.col(name).eq_missing(value)).height


def test_bands_and_limits_are_the_documented_ones() -> None:
    assert [(name, hours * 60) for name, hours in BANDS.items()] == LIMITS
    assert OLDEST == "3y+"
    # A change of a rule is a change of the version, here and in OUTPUT.md.
    assert RISK_VERSION == 1


@pytest.mark.parametrize(
    ("check", "date", "flag"),
    [
        (True, None, True),
        (True, timedelta(days=30), True),
        (False, None, None),
        (False, timedelta(days=6, hours=23), True),
        (False, timedelta(days=7), False),
        (None, timedelta(days=7), False),
        (None, timedelta(days=-1), True),
        (None, timedelta(days=-1, microseconds=-1), None),
        (None, None, None),
    ],
)
def test_a_flag_is_false_only_where_a_date_rules_it_out(
    check: bool | None, date: timedelta | None, flag: bool | None
) -> None:
    rows = [
        outcome(1, SIM[0], responded_at=AT, **(FAILED if check is None else {"swapped": check})),
        outcome(
            1,
            SIM[1],
            responded_at=AT,
            latest_change="none_reported" if date is None else "reported",
            latest_change_at=None if date is None else AT - date,
        ),
    ]
    [row] = enrich(rows_of([1]), outcomes_of(rows), RUN).rows(named=True)
    assert row["risk_sim_recent"] is flag
    assert row["risk_sim_and_device_recent"] is (False if flag is False else None)


def test_nothing_asked_is_unknown_and_has_the_version() -> None:
    enriched = enrich(rows_of([1, 2]), outcomes_of([]), RUN)
    assert enriched.select(c.name for c in RISK).schema == dtypes(RISK)
    assert count_risk([enriched.lazy()])["risk_sim_recent"] == {"unknown": 2}
    assert count_risk([enriched.lazy()])["risk_version"] == {"1": 2}
    assert count_risk([])["risk_version"] == {}
