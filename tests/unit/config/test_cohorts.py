from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from batch_screen.config.cohorts import Cohorts


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
