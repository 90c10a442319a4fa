from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from batch_screen.config.planner import Planner
from batch_screen.config.screening import Screening
from batch_screen.config.settings import Settings
from batch_screen.model import Endpoint

SIM, SIM_DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
DEVICE, DEVICE_DATE = Endpoint.DEVICE_SWAP_CHECK, Endpoint.DEVICE_SWAP_DATE
FORWARDING = Endpoint.CALL_FORWARDING_CHECK


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (720, dict.fromkeys((SIM, SIM_DATE, DEVICE, DEVICE_DATE), 720)),
        ("720", dict.fromkeys((SIM, SIM_DATE, DEVICE, DEVICE_DATE), 720)),
        ({"sim-swap/check": 5}, {SIM: 5}),
        ('{"sim-swap/check": 5}', {SIM: 5}),
        ({}, {}),
    ],
)
def test_one_age_counts_for_all_that_may_be_reused(given: Any, meant: dict[Endpoint, int]) -> None:
    assert Planner(reuse_within_minutes=given).reuse_within_minutes == meant


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"reuse_within_minutes": {FORWARDING: 5}}, "true of one instant only"),
        ({"reuse_within_minutes": {SIM: 0}}, "greater than or equal to 1"),
        ({"reuse_within_minutes": True}, "dictionary"),
        ({"only_where_changed": {DEVICE: SIM, SIM: FORWARDING}}, "may not be asked itself"),
        ({"only_where_changed": {SIM: SIM}}, "may not be asked itself"),
        ({"look_back_days": 0}, "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_meant(values: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Planner(**values)


@pytest.mark.parametrize(
    ("endpoints", "planner", "max_age", "why"),
    [
        ([DEVICE], {"only_where_changed": {DEVICE: SIM}}, "", "not among screening.endpoints"),
        (
            [SIM, SIM_DATE],
            {"only_where_changed": {SIM_DATE: SIM}, "derive_checks": True},
            "",
            "makes a circle: sim-swap/.* waits for sim-swap/",
        ),
        (
            [SIM, SIM_DATE],
            {"only_where_changed": {SIM_DATE: SIM}},
            "since-last-run",
            "makes a circle",
        ),
        (
            "all",
            {"only_where_changed": {SIM_DATE: DEVICE, DEVICE_DATE: SIM}, "derive_checks": True},
            "",
            "makes a circle",
        ),
    ],
)
def test_nothing_waits_for_itself_or_for_what_is_not_asked(
    endpoints: Any, planner: dict[str, Any], max_age: Any, why: str
) -> None:
    with pytest.raises(ValidationError, match=why):
        Settings(
            screening=Screening(endpoints=endpoints, max_age=max_age), planner=Planner(**planner)
        )


def test_what_is_not_asked_may_be_named() -> None:
    assert Settings(planner=Planner(only_where_changed={DEVICE: SIM})).endpoints == (SIM,)
    dates = Planner(only_where_changed={SIM_DATE: SIM})
    assert Settings(screening=Screening(endpoints=[SIM, SIM_DATE]), planner=dates)


def test_dates_join_where_windows_may_not_reach() -> None:
    since = Screening(endpoints=[SIM, FORWARDING], max_age="since-last-run")
    assert Settings(screening=since).endpoints == (SIM, SIM_DATE, FORWARDING)
    gaps = since.model_copy(update={"beyond_window": "report-gap"})
    assert Settings(screening=gaps).endpoints == (SIM, FORWARDING)
