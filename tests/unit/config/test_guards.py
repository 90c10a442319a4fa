from __future__ import annotations

import pytest
from pydantic import ValidationError

from batch_screen.config.guards import Guards


@pytest.mark.parametrize("given", [5, True, None, {"a": 1}, ["failure_rate"], [1]])
def test_lists_of_thresholds_that_cannot_be_meant(given: object) -> None:
    with pytest.raises(ValidationError):
        Guards(fail_if=given)  # type: ignore[arg-type]


def test_an_unknown_figure_says_what_was_probably_meant() -> None:
    with pytest.raises(ValidationError, match="did you mean failure_rate"):
        Guards(fail_if=("failure_rates > 1%",))
