from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from batch_screen.config.section import NotNegative, Positive, Section, Share


class Sample(Section):
    """One setting of each kind."""

    rate: Positive = 1.0
    pause: NotNegative = 0.0
    share: Share = 0.5
    count: int = 1
    is_on: bool = False


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"rate": 0}, "greater than 0"),
        ({"rate": float("inf")}, "finite"),
        ({"pause": -1}, "greater than or equal to 0"),
        ({"share": 1.1}, "less than or equal to 1"),
        ({"rate": True}, "not true or false"),
        ({"count": False}, "not true or false"),
        ({"unheard_of": 1}, "Extra inputs"),
    ],
)
def test_values_that_cannot_be_meant(values: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Sample(**values)


def test_truth_is_a_value_of_a_switch() -> None:
    assert Sample(is_on=True).is_on


def test_a_section_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Sample().rate = 2.0  # type: ignore[misc]
