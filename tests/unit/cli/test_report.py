from __future__ import annotations

import json
from typing import Any

import pytest

from batch_screen.cli.report import report
from batch_screen.commands.report import ReportResult
from batch_screen.tables.breakdown import Breakdown, Signs


@pytest.mark.parametrize(
    "breakdown",
    [None, Breakdown(2_000_000, Signs(forwarded=3), {"sim-swap/check": {"GB": {"yes": 1}}})],
    ids=["stopped", "complete"],
)
def test_json_holds_counts_and_a_masked_path(
    breakdown: Breakdown | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = "/pages/+447700900123/report.html"
    written = ReportResult("r", "complete", "Complete", path, 9, "ab", breakdown)
    monkeypatch.setattr("batch_screen.commands.report.report", lambda *_: written)
    report(run="out", out=None, run_id=None, path=None, as_json=True)
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (printed["status"], printed["path"]) == ("complete", "/pages/+4477••••••23/report.html")
    found = printed["breakdown"]
    assert (found and found["numbers"]) == (breakdown and 2_000_000)
