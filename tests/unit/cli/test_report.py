from __future__ import annotations

import json

from batch_screen.cli.report import _json
from batch_screen.commands.report import ReportResult
from batch_screen.tables.breakdown import Breakdown, Signs


def test_json_holds_counts_and_a_masked_path() -> None:
    found = Breakdown(2_000_000, Signs(forwarded=3), {"sim-swap/check": {"GB": {"yes": 1}}})
    path = "/pages/+447700900123/report.html"
    told = json.loads(_json(ReportResult("r", "complete", "Complete", path, 9, "ab", found)))
    assert told["breakdown"]["numbers"] == 2_000_000
    assert told["breakdown"]["signs"]["forwarded"] == 3
    assert told["path"] == "/pages/+4477••••••23/report.html"


def test_a_stopped_run_has_no_breakdown() -> None:
    told = json.loads(_json(ReportResult("r", "stopped", "Stopped", "p", 9, "ab", None)))
    assert (told["status"], told["breakdown"]) == ("stopped", None)
