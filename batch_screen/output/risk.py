"""The risk view: the age of the latest change, the standard's bands, and simple flags.

Pure expressions over the columns of results, the same for every row: ``RISK_VERSION`` stands
beside them and rises with any change of a rule. A flag is true, false or null: unknown, and
false only where an answer rules the claim out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import polars as pl

from batch_screen.model import Endpoint
from batch_screen.output.bands import BANDS, NAMES, OLDEST, RECENT_HOURS
from batch_screen.schema import RISK

RISK_VERSION = 1
AHEAD_HOURS = 24
"""Clocks and time zones differ: a date so little after its answer counts as the answer's moment.
What lies further ahead is no date of a change."""

UNKNOWN = "unknown"

_HOUR_US = 3_600_000_000
_HOUR_DIGITS = 4  # a third of a second
_SIM = (Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE)
_DEVICE = (Endpoint.DEVICE_SWAP_CHECK, Endpoint.DEVICE_SWAP_DATE)
_COUNTED = [column.name for column in RISK if not column.name.endswith("_hours")]
_FLAGS = [column.name for column in RISK if column.dtype == pl.Boolean]
_FLAG_VALUES = (True, False, None)

Counts = dict[str, dict[str, int]]
"""Column → value, or ``UNKNOWN`` for null → rows."""


def with_risk(results: pl.DataFrame) -> pl.DataFrame:
    """The rows with the columns ``schema.RISK``, made from their endpoints' groups."""
    return results.with_columns(risk_columns())


def risk_columns() -> list[pl.Expr]:
    """The columns ``schema.RISK`` over rows that have every endpoint's group."""
    sim, device = _is_recent(*_SIM), _is_recent(*_DEVICE)
    found = {
        "sim_change_age_hours": _hours(_SIM[1]),
        "sim_change_age_band": _band(_SIM[1]),
        "device_change_age_hours": _hours(_DEVICE[1]),
        "device_change_age_band": _band(_DEVICE[1]),
        "risk_sim_and_device_recent": sim & device,  # polars' and is three-valued
        "risk_sim_recent": sim,
        "risk_device_recent": device,
        "risk_forwarding_active": _of(Endpoint.CALL_FORWARDING_CHECK, "active"),
        "risk_version": pl.lit(RISK_VERSION),
    }
    return [found[column.name].cast(column.dtype).alias(column.name) for column in RISK]


def _of(endpoint: Endpoint, name: str) -> pl.Expr:
    return pl.col(f"{endpoint.column}_{name}")


def _age_us(date: Endpoint) -> pl.Expr:
    """Microseconds from the latest change to the answer; null where there is no date."""
    age = (_of(date, "responded_at") - _of(date, "latest_change_at")).dt.total_microseconds()
    return pl.when(age >= -AHEAD_HOURS * _HOUR_US).then(pl.max_horizontal(age, 0))


def _hours(date: Endpoint) -> pl.Expr:
    return (_age_us(date) / _HOUR_US).round(_HOUR_DIGITS)


def _band(date: Endpoint) -> pl.Expr:
    age = _age_us(date)
    within = [pl.when(age < hours * _HOUR_US).then(pl.lit(band)) for band, hours in BANDS.items()]
    return pl.coalesce(*within, pl.when(age.is_not_null()).then(pl.lit(OLDEST)))


def _is_recent(check: Endpoint, date: Endpoint) -> pl.Expr:
    """True if the date or the check says so; false only by an older date.

    That there was no swap in the window, at most 40 hours, does not rule out the days before it.
    """
    dated = _age_us(date) < RECENT_HOURS * _HOUR_US
    return pl.when(_of(check, "swapped")).then(True).otherwise(dated)  # noqa: FBT003 (a value)


def count_risk(tables: Iterable[pl.LazyFrame]) -> Counts:
    """Rows by each value of the columns, over tables of results; one is in use at a time."""
    counted: dict[str, Counter[object]] = {name: Counter() for name in _COUNTED}
    for table in tables:
        flags = table.select(_flag_counts()).collect(engine="streaming").row(0, named=True)
        for name, values in counted.items():
            if name in _FLAGS:
                values.update({value: flags[f"{name} {value}"] for value in _FLAG_VALUES})
            else:
                found = table.group_by(name).agg(pl.len()).collect(engine="streaming")
                values.update(dict(found.iter_rows()))
    return {name: _named(+values) for name, values in counted.items()}


def _flag_counts() -> list[pl.Expr]:
    """Sums, for grouping takes five times as long."""
    return [
        pl.col(flag).eq_missing(pl.lit(value, pl.Boolean)).sum().alias(f"{flag} {value}")
        for flag in _FLAGS
        for value in _FLAG_VALUES
    ]


def _named(values: Mapping[object, int]) -> dict[str, int]:
    """The counts under names JSON can hold, bands from the newest and unknown last.

    >>> _named({None: 1, "3y+": 2, "<4h": 3}), _named({False: 1, True: 2})
    ({'<4h': 3, '3y+': 2, 'unknown': 1}, {'true': 2, 'false': 1})
    """
    order = [*NAMES, "true", "false"]
    named = {UNKNOWN if v is None else str(v).lower(): rows for v, rows in values.items()}
    known = sorted(named.keys() - {UNKNOWN}, key=lambda n: (order.index(n) if n in order else 0, n))
    return {name: named[name] for name in (*known, *({UNKNOWN} & named.keys()))}
