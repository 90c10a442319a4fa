from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from batch_screen.model import Session
from batch_screen.output.parts import Layout
from batch_screen.output.previous import previous_run
from batch_screen.output.summary import Rows, Summary, write_summary

BEGAN = datetime(2026, 11, 24, tzinfo=UTC)
REAL = "https://api.example"


def left(
    folder: Path, run_id: str, *, hour: int = 0, is_complete: bool = True, address: str = REAL
) -> Summary:
    """A run's summary and, if it is complete, its marker."""
    date = f"{run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}"
    ended = BEGAN + timedelta(hours=hour)
    summary = Summary(
        run_id=run_id,
        run_date=date,
        version="1",
        status="complete",
        rows=Rows(1, 1, 0, {}, 0, 1),
        endpoints={},
        cost=0.0,
        currency="EUR",
        session=Session(ended, ended),
        settings={"api.base_url": address},
        facts={},
    )
    layout = Layout(folder, run_id, date)
    write_summary_in(layout, summary)
    if is_complete:
        layout.marker.write_text("")
    return summary


def write_summary_in(layout: Layout, summary: Summary) -> None:
    layout.run.mkdir(parents=True)
    write_summary(layout.summary, summary)


def previous(folder: Path, of: Summary) -> str | None:
    found = previous_run(Layout(folder, of.run_id, of.run_date), of)
    return found.run_id if found else None


def test_the_latest_complete_run_before(tmp_path: Path) -> None:
    left(tmp_path, "20261122-aaaaaaaaaa", hour=1)
    left(tmp_path, "20261123-aaaaaaaaaa", hour=2)
    left(tmp_path, "20261123-bbbbbbbbbb", hour=3)
    left(tmp_path, "20261123-cccccccccc", hour=4, is_complete=False)
    left(tmp_path, "20261123-dddddddddd", hour=4, address="sandbox")
    ours = left(tmp_path, "20261124-aaaaaaaaaa", hour=5)
    left(tmp_path, "20261124-bbbbbbbbbb", hour=6)
    left(tmp_path, "20261125-aaaaaaaaaa", hour=4)
    assert previous(tmp_path, ours) == "20261123-bbbbbbbbbb"
    later = left(tmp_path, "20261124-eeeeeeeeee", hour=7)
    assert previous(tmp_path, later) == "20261124-bbbbbbbbbb"


def test_there_may_be_none(tmp_path: Path) -> None:
    ours = left(tmp_path, "20261124-aaaaaaaaaa")
    assert previous(tmp_path, ours) is None
    assert previous(tmp_path / "elsewhere", ours) is None


def test_what_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    left(tmp_path, "20261122-aaaaaaaaaa")
    left(tmp_path, "20261123-aaaaaaaaaa")
    (tmp_path / "runs" / "20261123-aaaaaaaaaa" / "summary.json").write_bytes(b"{")
    ours = left(tmp_path, "20261124-aaaaaaaaaa", hour=1)
    assert previous(tmp_path, ours) == "20261122-aaaaaaaaaa"
