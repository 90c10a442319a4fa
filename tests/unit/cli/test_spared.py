from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from batch_screen.cli.hints import hints
from batch_screen.cli.render import closing_block, forecast_block
from batch_screen.cli.spared import spared_lines, sparing_lines
from batch_screen.config.settings import Settings
from batch_screen.forecasting import Forecast
from batch_screen.output.coverage import Coverage, Saved
from batch_screen.output.parts import Layout
from batch_screen.output.summary import Rows, Summary
from batch_screen.pipeline import Screened
from batch_screen.sparing import CHAIN, DERIVE, REUSE, Saving, Windows

Make = Callable[..., Any]
RUN = "20260301-0123456789"


def changed(summary: Summary, **values: Any) -> Summary:
    return msgspec.structs.replace(summary, **values)


def test_nothing_is_said_of_what_is_not_in_use(summary: Make) -> None:
    assert list(spared_lines(summary())) == []


def test_a_line_for_what_was_saved_and_one_for_each_checks_coverage(
    summary: Make, tmp_path: Any
) -> None:
    told = changed(
        summary(),
        saved=Saved(1_554, 1_254, 0, 300, 15.54, 40),
        coverage={"sim-swap/check": Coverage(9_000, 7_000, 50, 900, 1_000, 50, 1_920)},
        contradictions={"sim-swap/check": 7},
    )
    assert list(spared_lines(told)) == [
        (
            "saved",
            "1,554 requests (derived 1,254, unchanged 300), 15.54 EUR; 40 dates asked besides",
        ),
        (
            "coverage",
            (
                "sim-swap/check: 7,000 of 9,000 numbers without a gap, 50 with one of up to "
                "1,920 min, 900 seen first, 1,000 unobserved, 50 not asked"
            ),
        ),
    ]
    block = closing_block(Screened(told, Layout(tmp_path, RUN, "2026-03-01")), Settings())
    assert "\n  saved ........ 1,554 requests" in block
    assert "\n  coverage ..... sim-swap/check: 7,000 of 9,000" in block
    said = " ".join(hints(told, Settings()))
    assert "up to 1,920 minutes of some numbers were observed by nobody (sim-swap/check)" in said
    assert "check and date contradict each other for some numbers (7 at sim-swap/check)" in said


def forecast(*savings: Saving, likely: int | None = None, **windows: Windows) -> Forecast:
    return Forecast(
        rows=Rows(100, 100, 0, {}, 0, 100),
        lookups={"sim-swap/check": 100},
        already_answered={"sim-swap/check": 0},
        to_ask={"sim-swap/check": 100},
        cost=1.0,
        currency="EUR",
        rate_per_second=10,
        seconds=10.0,
        requests_left=None,
        cost_left=None,
        resumes=None,
        facts={"phone_column": "phone"},
        savings=[*savings],
        windows={
            name.replace("_", "-", 1).replace("_", "/"): each for name, each in windows.items()
        },
        likely_requests=likely,
    )


def test_what_is_exact_and_what_is_an_estimate_are_told_apart() -> None:
    exact = Saving(REUSE, "sim-swap/check", is_on=True, at_least=30, at_most=30, likely=30)
    guess = Saving(
        DERIVE, "sim-swap/check", is_on=True, at_least=0, at_most=70, likely=60, as_in=RUN
    )
    unknown = Saving(CHAIN, "device-swap/check", is_on=False, at_least=0, at_most=100)
    expected = forecast(exact, guess, unknown, likely=10, sim_swap_check=Windows(90, 4, 6))
    assert list(sparing_lines(expected)) == [
        (
            "windows",
            (
                "sim-swap/check: 90 reach back to an earlier run, 4 do not reach so far, "
                "6 numbers are new"
            ),
        ),
        ("saves", "reused: sim-swap/check 30 requests exactly"),
        (
            "saves",
            (
                "derived from the date: sim-swap/check 0 to 70 requests, about 60 if all is as "
                f"in run {RUN}"
            ),
        ),
        ("could save", "planner.only_where_changed: device-swap/check 0 to 100 requests"),
        ("estimate", "about 10 requests in all"),
    ]
    block = forecast_block(expected)
    assert "at most 100 to ask" in block
    assert "at most 1.00 EUR" in block
    assert "at most" not in forecast_block(forecast(exact, unknown))
