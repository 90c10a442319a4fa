from __future__ import annotations

import polars as pl
import pytest

from batch_screen import schema
from batch_screen.schema import AUDIT_REJECTS, CHANGES, ERRORS, LOOKUPS, Column, results
from reference.columns import columns_page, tables


def test_every_column_of_every_table_is_explained() -> None:
    page = columns_page()
    for column in (*results({}), *LOOKUPS, *ERRORS, *CHANGES, *AUDIT_REJECTS):
        null = "never" if column.required else "may be"
        lines = [line for line in page.splitlines() if line.startswith(f"| `{column.name}` |")]
        assert any(line.endswith(f"| {null} | {column.meaning} |") for line in lines), column
    assert "| `responded_at` | Datetime, UTC | may be | when the last answer arrived |" in page


def test_what_is_kept_as_state_is_no_table_of_its_own() -> None:
    assert list(tables()) == ["results", "LOOKUPS", "ERRORS", "CHANGES", "AUDIT_REJECTS"]


def test_a_new_table_is_shown_though_nobody_described_it(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = (LOOKUPS[0], Column("was_swapped", pl.Boolean, "what the night before said"))
    monkeypatch.setattr(schema, "CHANGES_BY_NIGHT", columns, raising=False)
    page = columns_page()
    assert "\n## changes by night\n" in page
    assert "| `was_swapped` | Boolean | may be | what the night before said |" in page
