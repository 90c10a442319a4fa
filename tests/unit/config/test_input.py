from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from batch_screen.config.input import Input


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
    ("given", "meant"), [("tab", "\t"), ("\\t", "\t"), ("\t", "\t"), (";", ";"), ("", "")]
)
def test_delimiters(given: str, meant: str) -> None:
    assert Input(delimiter=given).delimiter == meant


def test_regions_are_upper_case() -> None:
    assert Input(default_region="de").default_region == "DE"
