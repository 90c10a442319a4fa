from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from batch_screen.config.screening import Cohorts, Input, Numbers, Planner, Screening
from batch_screen.config.settings import Settings
from batch_screen.model import Endpoint


@pytest.mark.parametrize(
    "values",
    [
        {"min_numbers": 0},
        {"min_numbers": 1.5},
        {"min_share": 0},
        {"min_share": 1.01},
        {"min_rise": 0.5},
        {"min_rise": float("inf")},
        {"min_rise": True},
        {"least": 1},
    ],
)
def test_bounds_that_cannot_be_meant(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Cohorts(**values)


def test_bounds() -> None:
    assert Cohorts(min_numbers=1, min_share=1, min_rise=1) != Cohorts()


@pytest.mark.parametrize(
    ("given", "meant"),
    [("", ()), ("a, b,a", ("a", "b")), (["a", "b,c"], ("a", "b", "c")), (("all",), ("all",))],
)
def test_keep_columns(given: Any, meant: tuple[str, ...]) -> None:
    assert Input(keep_columns=given).keep_columns == meant


def test_all_columns_are_no_column_among_others() -> None:
    with pytest.raises(ValidationError, match="'all' stands alone"):
        Input(keep_columns=["id", "all"])


@pytest.mark.parametrize(
    ("given", "meant"),
    [("tab", "\t"), ("\\t", "\t"), (";", ";"), ("^", "^"), ("", "")],
)
def test_delimiters(given: str, meant: str) -> None:
    assert Input(delimiter=given).delimiter == meant


def test_regions_are_upper_case() -> None:
    assert Input(default_region="de").default_region == "DE"


def test_test_numbers() -> None:
    assert Numbers(test_numbers="+491713920012, +12025550123").test_numbers == (
        "+491713920012",
        "+12025550123",
    )


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("", ()),
        ([], ()),
        ("de", ("DE",)),
        ("gb, UK,001,de", ("001", "DE", "GB")),
        (["uk", "AT,de"], ("AT", "DE", "GB")),
    ],
)
def test_lists_of_regions(given: Any, meant: tuple[str, ...]) -> None:
    assert Numbers(allowed_regions=given).allowed_regions == meant
    assert Numbers(denied_regions=given).denied_regions == meant


def test_the_order_of_regions_makes_no_other_run() -> None:
    one, other = (Settings(numbers=Numbers(allowed_regions=g)) for g in ("DE,UK", ["GB", "DE"]))
    assert one.identity() == other.identity()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"allowed_regions": "DE,Germany"}, "'GERMANY' is neither a two-letter code such as DE"),
        (
            {"allowed_regions": "DE,uk", "denied_regions": ["GB"]},
            "allowed_regions and denied_regions both name GB",
        ),
    ],
)
def test_regions_that_cannot_be_meant(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Numbers(**given)


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


CHECK, DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("sim-swap/check", (CHECK,)),
        ("all", tuple(Endpoint)),
        (["all"], tuple(Endpoint)),
        ("sim-swap/retrieve-date, sim-swap/check,", (CHECK, DATE)),
        (["sim-swap/retrieve-date", "sim-swap/check,sim-swap/check"], (CHECK, DATE)),
        ((DATE, CHECK), (CHECK, DATE)),
        ({DATE, CHECK}, (CHECK, DATE)),
    ],
)
def test_endpoints(given: Any, meant: tuple[Endpoint, ...]) -> None:
    assert Screening(endpoints=given).endpoints == meant


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("", "at least one"),
        ([], "at least one"),
        ("sim-swap/chek", "no endpoint 'sim-swap/chek'; did you mean sim-swap/check?"),
        ("all,sim-swap/check", "'all' stands alone"),
        (5, "list of names"),
        (True, "list of names"),
        ([5], "list of names"),
        (None, "list of names"),
        ({"a": 1}, "list of names"),
    ],
)
def test_endpoints_that_cannot_be_meant(given: Any, why: str) -> None:
    with pytest.raises(ValidationError, match=why.replace("?", r"\?")):
        Screening(endpoints=given)


def test_dates_join_where_windows_may_not_reach_of_screening() -> None:
    back = {"endpoints": [CHECK, Endpoint.CALL_FORWARDING_CHECK], "max_age": "since-last-run"}
    assert Screening(**back).lookup_endpoints == (CHECK, DATE, Endpoint.CALL_FORWARDING_CHECK)
    reporting = Screening(**back, beyond_window="report-gap")
    assert reporting.lookup_endpoints == reporting.endpoints
    assert Screening(endpoints=(CHECK,)).dates_beyond == ()
