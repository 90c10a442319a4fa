from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.toml import toml_key, toml_table, toml_value

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = (
    st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | st.lists(TEXTS, max_size=3)
)


@given(st.dictionaries(TEXTS, VALUES, max_size=4))
def test_what_is_written_is_read_back(table: dict[str, Any]) -> None:
    read = tomllib.loads("\n".join(toml_table(table)))
    assert read == table
    assert {k: type(v) for k, v in read.items()} == {k: type(v) for k, v in table.items()}


def test_keys_and_values() -> None:
    assert toml_key("a-b_1") == "a-b_1"
    assert toml_key("") == '""'
    assert toml_value(("DE", "AT")) == '["DE", "AT"]'
    with pytest.raises(ValueError, match="NoneType is no value of a setting"):
        toml_value(None)
