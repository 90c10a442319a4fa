from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from batch_screen.cli.plan import plan_block
from batch_screen.commands.plan import CHAIN, DERIVE, REUSE, PlanResult, Saving, Windows
from batch_screen.tables.summary import Rows

Make = Callable[..., Any]
RUN = "20260301-0123456789"


def planned(summary: Make, **changes: Any) -> PlanResult:
    plain = PlanResult(
        rows=summary().rows,
        lookups={"sim-swap/check": 1_000, "call-forwarding/check": 1_000},
        already_answered={"sim-swap/check": 400, "call-forwarding/check": 0},
        to_ask={"sim-swap/check": 600, "call-forwarding/check": 1_000},
        cost=16.0,
        currency="EUR",
        rate_per_second=10.0,
        seconds=163.3,
        requests_left=None,
        cost_left=None,
        resumes="20261123-0123456789",
        facts={"phone_column": "phone"},
    )
    return msgspec.structs.replace(plain, **changes)


def test_plan_block(summary: Make) -> None:
    assert plan_block(planned(summary)).splitlines() == [
        "plan: nothing was sent",
        "",
        "  phone column . phone",
        "  rows ......... 1,250 = 1,200 accepted and 50 rejected",
        "    rejected ... empty 50",
        "  numbers ...... 1,000 unique, 200 rows are duplicates",
        "  lookups ...... 1,600 to ask, 400 saved",
        "    sim-swap/check              1,000 lookups, 400 saved",
        "    call-forwarding/check       1,000 lookups, 0 saved",
        "  resumes ...... run 20261123-0123456789",
        "  cost ......... 16.00 EUR (before retries)",
        "  time ......... 2 min 43 s at 10/s",
    ]


def test_plan_says_what_is_left_of_the_budget_and_that_it_takes_longer(summary: Make) -> None:
    bounded = planned(summary, requests_left=1_234, cost_left=12.3, seconds=36_000.0)
    lines = plan_block(bounded).splitlines()
    assert "  budget ....... 1,234 requests and 12.30 EUR left, retries included" in lines
    assert "  time ......... 10 h 0 min at up to 10/s" in lines


def test_plan_of_a_new_run_without_prices(summary: Make) -> None:
    block = plan_block(planned(summary, resumes=None, cost=None))
    assert "resumes" not in block
    assert "  cost ......... no prices are set" in block.splitlines()
    assert "0.00 EUR (before retries)" in plan_block(planned(summary, cost=0.0))


def with_savings(*savings: Saving, likely: int | None = None, **windows: Windows) -> PlanResult:
    return PlanResult(
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


def test_exact_savings_and_estimates() -> None:
    exact = Saving(REUSE, "sim-swap/check", is_on=True, at_least=30, at_most=30, likely=30)
    guess = Saving(
        DERIVE, "sim-swap/check", is_on=True, at_least=0, at_most=70, likely=60, as_in=RUN
    )
    unknown = Saving(CHAIN, "device-swap/check", is_on=False, at_least=0, at_most=100)
    found = with_savings(exact, guess, unknown, likely=10, sim_swap_check=Windows(90, 4, 6))
    block = plan_block(found)
    for label, text in {
        "windows ......": (
            "sim-swap/check: 90 reach back to an earlier run, 4 do not reach so far, "
            "6 numbers are new"
        ),
        "saves ........": "reused: sim-swap/check 30 requests exactly",
        "saves ........ derived": (
            f"from the date: sim-swap/check 0 to 70 requests, about 60 if all is as in run {RUN}"
        ),
        "could save ...": "planner.only_where_changed: device-swap/check 0 to 100 requests",
        "estimate .....": "about 10 requests in all",
    }.items():
        assert f"  {label} {text}" in block.splitlines()
    assert "at most 100 to ask" in block
    assert "at most 1.00 EUR" in block
    assert "at most" not in plan_block(with_savings(exact, unknown))
