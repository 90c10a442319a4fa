from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.model import Endpoint, OutcomeKind
from batch_screen.schema import RISK, dtypes, results
from batch_screen.tables.results import (
    BANDS,
    NAMES,
    OLDEST,
    RECENT,
    RECENT_HOURS,
    RISK_VERSION,
    count_risk,
    enrich,
    with_risk,
)
from tests.thoroughness import examples

from .frames import outcome, outcomes_of, rows_of


def test_bands_have_the_limits_of_the_standard() -> None:
    days = [hours / 24 for hours in BANDS.values()]
    assert days == [4 / 24, 12 / 24, 1, 2, 5, 7, 14, 30, 60, 90, 180, 365, 730, 1095]
    assert all(younger < older for younger, older in pairwise(days))
    assert (*BANDS, "3y+") == NAMES


def test_recent_are_those_under_seven_days() -> None:
    assert RECENT_HOURS / 24 == 7
    assert [name in RECENT for name in NAMES] == [True] * 6 + [False] * 9


RUN = "20261123-c0ffee0000"
AT = datetime(2026, 11, 23, 1, 2, 3, 4, tzinfo=UTC)
ENDPOINTS = st.lists(st.sampled_from(Endpoint), unique=True)


@examples(60)
@given(numbers=st.lists(st.integers(0, 20), max_size=40), endpoints=ENDPOINTS)
def test_rows_and_their_order_are_kept(numbers: list[int], endpoints: list[Endpoint]) -> None:
    rows = rows_of(numbers, id=pl.Series(range(len(numbers)), dtype=pl.Int64))
    outcomes = outcomes_of(
        outcome(i, e, attempts=i, swapped=i % 2 == 0 if e.takes_max_age else None)
        for e in endpoints
        for i in sorted(set(numbers), reverse=True)
    )
    enriched = enrich(rows, outcomes, RUN)
    assert enriched.select(rows.columns).equals(rows)
    assert enriched.schema == dtypes(results({"in_id": pl.Int64()}))
    for e in Endpoint:
        column = enriched[f"{e.column}_outcome"]
        assert column.null_count() == (0 if e in endpoints else enriched.height)
        if e in endpoints and e.takes_max_age:
            assert enriched[f"{e.column}_swapped"].to_list() == [i % 2 == 0 for i in numbers]


@pytest.mark.parametrize("asked", [(), tuple(Endpoint), (Endpoint.CALL_FORWARDING_CHECK,)])
def test_columns_are_fixed_whatever_was_asked(asked: tuple[Endpoint, ...]) -> None:
    enriched = enrich(rows_of([1]), outcomes_of(outcome(1, e) for e in asked), RUN)
    assert enriched.columns == [column.name for column in results({})]
    assert enriched["run_id"].to_list() == [RUN]


def test_every_value_of_an_endpoint_arrives_in_its_group() -> None:
    date, forwarding = Endpoint.SIM_SWAP_DATE, Endpoint.CALL_FORWARDING_CHECK
    outcomes = outcomes_of(
        [
            outcome(
                1, date, latest_change="reported", latest_change_at=AT, responded_at=AT, attempts=9
            ),
            outcome(1, forwarding, active=True, responded_at=AT),
            outcome(1, Endpoint.DEVICE_SWAP_CHECK, swapped=False, responded_at=AT),
        ]
    )
    [row] = enrich(rows_of([1]), outcomes, RUN).rows(named=True)
    assert {k: v for k, v in row.items() if k.startswith("sim_swap_date")} == {
        "sim_swap_date_outcome": "success",
        "sim_swap_date_latest_change": "reported",
        "sim_swap_date_latest_change_at": AT,
        "sim_swap_date_responded_at": AT,
        "sim_swap_date_source": "asked",
    }
    assert row["call_forwarding_check_active"] is True
    assert row["device_swap_check_swapped"] is False
    assert row["device_swap_check_max_age_minutes"] == 2400
    assert row["device_swap_check_window_start"] == AT - timedelta(minutes=2400)
    assert row["device_swap_check_window_end"] == AT
    assert row["device_swap_check_gap_minutes"] is None
    assert row["sim_swap_check_window_end"] is None


@pytest.mark.parametrize("kind", [kind for kind in OutcomeKind if kind is not OutcomeKind.SUCCESS])
def test_a_failure_is_unknown_and_never_false(kind: OutcomeKind) -> None:
    outcomes = outcomes_of(outcome(1, e, outcome=kind.value) for e in Endpoint)
    [row] = enrich(rows_of([1]), outcomes, RUN).rows(named=True)
    for endpoint in Endpoint:
        assert row[f"{endpoint.column}_outcome"] == kind.value
    values = [v for k, v in row.items() if k.endswith(("_swapped", "_active", "_latest_change"))]
    assert values == [None] * 6  # risk_forwarding_active is one of them
    assert {row[c.name] for c in RISK if not c.required} == {None}


def test_kept_columns_come_last_with_their_types_and_may_be_called_anything() -> None:
    rows = rows_of(
        [1, 2],
        e164=pl.Series(["a", None]),
        amount=pl.Series([1.5, 2.5]),
        outcome=pl.Series([True, False]),
    )
    enriched = enrich(rows, outcomes_of([]), RUN)
    assert enriched.columns[-3:] == ["in_e164", "in_amount", "in_outcome"]
    assert enriched.dtypes[-3:] == [pl.String, pl.Float64, pl.Boolean]
    assert enriched["in_e164"].to_list() == ["a", None]


def test_no_rows_give_no_rows_with_all_columns() -> None:
    enriched = enrich(rows_of([]), outcomes_of([]), RUN)
    assert enriched.height == 0
    assert enriched.schema == dtypes(results({}))


CHECK, DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
NOW = datetime(2026, 3, 2, tzinfo=UTC)


def ago(**how: float) -> datetime:
    return NOW - timedelta(**how)


def check(**values: Any) -> dict[str, Any]:
    return outcome(1, CHECK, **{"swapped": False, "responded_at": NOW, **values})


def date(changed: datetime | None, **values: Any) -> dict[str, Any]:
    said = {"latest_change": "reported" if changed else "none_reported"}
    dated = {"responded_at": NOW, "latest_change_at": changed, **said}
    return outcome(1, DATE, **{**dated, **values})


def observed(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    return outcomes_of(rows).to_dicts()


@pytest.mark.parametrize(
    ("last", "gap"),
    [
        (None, None),
        (ago(minutes=5), 0),
        (ago(minutes=60), 0),
        (ago(minutes=60, microseconds=1), 1),
        (ago(minutes=61), 1),
        (ago(days=30), 30 * 1440 - 60),
    ],
)
def test_a_gap_is_what_lies_before_the_window(last: datetime | None, gap: int | None) -> None:
    [row] = observed(check(max_age_minutes=60, last_observed_at=last))
    assert (row["window_start"], row["window_end"]) == (ago(minutes=60), NOW)
    assert row["gap_minutes"] == gap


@pytest.mark.parametrize(
    "row",
    [
        check(outcome="timeout", swapped=None),
        check(outcome="skipped", swapped=None, responded_at=None),
        date(ago(days=1)),
        outcome(1, Endpoint.CALL_FORWARDING_CHECK, active=True, responded_at=NOW),
    ],
)
def test_what_observes_no_window_has_none(row: dict[str, Any]) -> None:
    [found] = observed(row)
    assert [found[n] for n in ("window_start", "window_end", "gap_minutes")] == [None] * 3


@pytest.mark.parametrize(
    ("checked", "dated", "expected"),
    [
        (check(swapped=True), date(ago(minutes=5)), False),
        (check(swapped=True), date(ago(minutes=2401)), False),  # within the tolerance
        (check(swapped=True), date(ago(minutes=2403)), True),
        (check(swapped=True), date(None), True),
        (check(swapped=True, responded_at=NOW + timedelta(hours=1)), date(None), None),
        (check(), date(ago(minutes=5)), True),
        (check(), date(ago(minutes=2399)), False),
        (check(), date(ago(minutes=1)), False),  # it may have been changed between the two
        (check(), date(ago(minutes=5000)), False),
        (check(), date(None), False),
        (check(outcome="not_found", swapped=None), date(ago(minutes=5)), None),
        (check(), date(None, outcome="timeout", latest_change=None), None),
        (check(source="derived"), date(ago(minutes=5)), None),
        (check(), date(ago(minutes=5), source="reused"), None),
    ],
)
def test_contradictions(
    checked: dict[str, Any],
    dated: dict[str, Any],
    expected: bool | None,
) -> None:
    found = {row["endpoint"]: row["contradiction"] for row in observed(checked, dated)}
    assert found == {CHECK.value: expected, DATE.value: None}
    apart = observed(checked, dated | {"e164": "+447700900002"})
    assert [row["contradiction"] for row in apart] == [None, None]


AT_OF_RISK = datetime(2026, 11, 23, 4, tzinfo=UTC)
HOUR = timedelta(hours=1)
SIM, DEVICE = (
    (Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE),
    (Endpoint.DEVICE_SWAP_CHECK, Endpoint.DEVICE_SWAP_DATE),
)

# As it stands in docs/signals.md, in minutes and in plain Python.
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
            values["latest_change_at"] = None if old is None else AT_OF_RISK - old
        else:
            value = draw(TRUTH)
            name = "swapped" if endpoint.takes_max_age else "active"
            values = FAILED if value is None else {name: value}
        found.append(outcome(i, endpoint, responded_at=AT_OF_RISK, **values))
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
    # A change of a rule is a change of the version, here and in docs/signals.md.
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
        outcome(
            1, SIM[0], responded_at=AT_OF_RISK, **(FAILED if check is None else {"swapped": check})
        ),
        outcome(
            1,
            SIM[1],
            responded_at=AT_OF_RISK,
            latest_change="none_reported" if date is None else "reported",
            latest_change_at=None if date is None else AT_OF_RISK - date,
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
