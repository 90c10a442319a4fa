from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from batch_screen.config.numbers import Numbers
from batch_screen.config.settings import Settings


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
