from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from batch_screen.cli.hints import hints
from batch_screen.config.settings import Settings
from batch_screen.tables.summary import LookupFigures, Summary

Make = Callable[..., Any]
QUIET = {
    "input": {"keep_columns": ("id",)},
    "prices": {"per_request": {"sim-swap/check": 0.01}},
}


def said(summary: Summary, **settings: Any) -> list[str]:
    return list(hints(summary, Settings(**{**QUIET, **settings})))


def test_nothing_to_say(summary: Make) -> None:
    assert said(summary()) == []


def test_every_hint_at_once_the_weightiest_first(summary: Make, lookups: Make) -> None:
    plain = summary()
    bad: LookupFigures = lookups(
        by_outcome={"success": 800, "not_found": 100, "timeout": 100}, refusals=1_234, unanswered=12
    )
    reasons = {"ambiguous": 1, "no_region": 2, "scientific_notation": 3, "ragged_row": 4}
    worst = summary(
        endpoints={"sim-swap/check": bad},
        rows=msgspec.structs.replace(plain.rows, rejected_by_reason=reasons),
    )
    heads = [
        "an earlier start ended abruptly: up to 12 requests",
        "10.0% of the lookups failed, more than guards.max_failure_share (1.0%): exit code 3",
        "1,234 requests were refused for the rate: the contract may allow less than 10/s",
        "100 lookups were not_found: inconclusive, neither pass nor fail",
        "1 rows read as two different numbers",
        "2 rows have no country",
        "3 numbers were damaged by a spreadsheet",
        "4 rows have more cells than the header",
        "a window of 240 minutes leaves 1200 minutes of each day unobserved",
        "results hold none of your own columns",
        "no cost is shown",
    ]
    found = said(worst, input={}, prices={}, screening={"max_age_minutes": 240})
    assert len(found) == len(heads)
    for hint, head in zip(found, heads, strict=True):
        assert hint.startswith(head)
        assert "\n" not in hint


@pytest.mark.parametrize(("failed", "says"), [(10, False), (11, True)])
def test_the_failure_share_is_a_limit(
    summary: Make, lookups: Make, failed: int, says: bool
) -> None:
    figures = lookups(by_outcome={"success": 1_000 - failed, "bad_response": failed})
    assert bool(said(summary(endpoints={"sim-swap/check": figures}))) is says


@pytest.mark.parametrize(("unknown", "says"), [(50, False), (51, True)])
def test_a_few_unknown_numbers_are_normal(
    summary: Make, lookups: Make, unknown: int, says: bool
) -> None:
    figures = lookups(by_outcome={"success": 1_000 - unknown, "not_found": unknown})
    found = said(summary(endpoints={"sim-swap/check": figures}))
    assert [hint.split(":")[0] for hint in found] == [f"{unknown} lookups were not_found"] * says


@pytest.mark.parametrize(
    ("endpoint", "window", "says"),
    [
        ("sim-swap/check", 1_439, True),
        ("device-swap/check", 240, True),
        ("sim-swap/check", 1_440, False),
        ("sim-swap/retrieve-date", 240, False),
        ("call-forwarding/check", 240, False),
    ],
)
def test_short_windows(
    summary: Make, lookups: Make, endpoint: str, window: int, says: bool
) -> None:
    found = said(summary(endpoints={endpoint: lookups()}), screening={"max_age_minutes": window})
    assert len(found) == says


def test_a_run_without_lookups_has_not_failed(summary: Make) -> None:
    assert said(summary(endpoints={})) == []


def test_the_region_column_is_named_only_where_it_is_missing(summary: Make) -> None:
    reasons = {"ambiguous": 1, "no_region": 2}
    figures = summary(rows=msgspec.structs.replace(summary().rows, rejected_by_reason=reasons))
    assert all("--region-column" in hint for hint in said(figures))
    named = {**QUIET["input"], "region_column": "country"}
    assert not any("--region-column" in hint for hint in said(figures, input=named))


def test_kept_columns_are_for_the_next_time(summary: Make) -> None:
    (hint,) = said(summary(), input={})
    assert "the same command with --keep-columns" in hint
    assert "asks nothing" in hint
