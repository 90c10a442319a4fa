"""The receipt of an erasure, as it is printed."""

from __future__ import annotations

from datetime import UTC, datetime

from batch_screen.cli.erase import _lines
from batch_screen.commands.erase import EraseReport

NUMBERS = ["+4420••••••66", "+4420••••••67"]


def test_who_lies_nowhere_was_not_found() -> None:
    at = datetime(2026, 3, 2, 6, tzinfo=UTC)
    report = EraseReport(False, at, "screened", NUMBERS, NUMBERS, [], [], [], [])
    assert next(_lines(report)) == "found none of 2 numbers in screened, 2026-03-02 06:00:00 UTC"
