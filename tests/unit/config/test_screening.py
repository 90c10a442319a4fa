from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from batch_screen.config.screening import Screening
from batch_screen.model import Endpoint

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


def test_dates_join_where_windows_may_not_reach() -> None:
    back = {"endpoints": [CHECK, Endpoint.CALL_FORWARDING_CHECK], "max_age": "since-last-run"}
    assert Screening(**back).lookup_endpoints == (CHECK, DATE, Endpoint.CALL_FORWARDING_CHECK)
    reporting = Screening(**back, beyond_window="report-gap")
    assert reporting.lookup_endpoints == reporting.endpoints
    assert Screening(endpoints=(CHECK,)).dates_beyond == ()
