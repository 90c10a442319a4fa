"""Starts that have ended, for what tells of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from batch_screen.model import Session
from batch_screen.notify.closing import Closing
from batch_screen.runs.layout import Layout
from batch_screen.tables.summary import Ending, LookupFigures, Rows, Summary

BEGAN = datetime(2026, 11, 24, 2, 15, tzinfo=UTC)
RUN_ID = "20261124-0123456789"
NUMBER = "+442079460123"


def complete(**changes: Any) -> Closing:
    """A start whose run is complete: 1,200 numbers at one endpoint, 30 of them swapped."""
    asked = LookupFigures(
        1_200, {"success": 1_190, "timeout": 10}, 30, 1_230, 5, 0, {"p50": 4.0}, 12.25
    )
    summary = Summary(
        run_id=RUN_ID,
        run_date="2026-11-24",
        version="0.1.0",
        status="complete",
        rows=Rows(1_500, 1_400, 100, {"empty": 100}, 200, 1_200),
        endpoints={"sim-swap/check": asked},
        cost=12.25,
        currency="EUR",
        session=Session(BEGAN, BEGAN + timedelta(seconds=90), 1_230, 80.0),
        settings={"input.phone_column": NUMBER},
        facts={},
    )
    layout = Layout(Path("/srv/screened"), RUN_ID, "2026-11-24")
    closing = Closing(
        started_at=BEGAN,
        ended_at=BEGAN + timedelta(seconds=92),
        exit_code=0,
        stage_seconds={"reading": 1.25, "asking": 80.0, "writing": 0.5},
        run_id=RUN_ID,
        run_date="2026-11-24",
        summary=summary,
        layout=layout,
    )
    return replace(closing, **changes)


def failed(**changes: Any) -> Closing:
    """A start that came to no run."""
    ending = Ending("no API key: name a file with --api-key-file", 77)
    nothing = {"summary": None, "layout": None, "run_id": "", "stage_seconds": {}}
    return complete(**{"exit_code": 77, "stopped": ending, **nothing, **changes})
