from __future__ import annotations

import pytest

from batch_screen.config.screening import Numbers
from batch_screen.errors import ConfigurationError
from batch_screen.numbers.regions import refuse_unknown_regions


@pytest.mark.parametrize(
    ("setting", "code"),
    [("allowed_regions", "XX"), ("denied_regions", "AQ"), ("denied_regions", "EU")],
)
def test_an_unknown_region_is_a_configuration_error(setting: str, code: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"numbers\.{setting} names '{code}', which is"):
        refuse_unknown_regions(Numbers(**{setting: ["DE", code]}))  # type: ignore[arg-type]


def test_known_regions_are_known() -> None:
    refuse_unknown_regions(Numbers(allowed_regions="DE,UK,001", denied_regions="GG,XK"))  # type: ignore[arg-type]
