"""The complete run before another in the same output folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from batch_screen.errors import OutputError
from batch_screen.output.parts import Layout
from batch_screen.output.summary import Summary, read_summary

_ADDRESS = "api.base_url"
_DAY = 8


def previous_run(layout: Layout, summary: Summary) -> Summary | None:
    """The summary of the latest complete run of an earlier date, or an earlier one of that date.

    Runs of the sandbox are compared with those of the sandbox only, and real ones with real ones.
    What cannot be read is passed over: it is another run's, and ``validate`` tells of it.
    """
    for day in _days(layout, summary.run_date):
        found = [
            each
            for each in _summaries(day)
            if each.run_id != summary.run_id
            and each.session.ended_at <= summary.session.ended_at
            and each.settings.get(_ADDRESS) == summary.settings.get(_ADDRESS)
        ]
        if found:
            return max(found, key=lambda each: each.session.ended_at)
    return None


def _days(layout: Layout, run_date: str) -> Iterator[list[Path]]:
    """The folders of complete runs up to a date, those of one date together, the latest first."""
    by_day: dict[str, list[Path]] = {}
    for marker in (layout.folder / "runs").glob("*/_SUCCESS"):
        by_day.setdefault(marker.parent.name[:_DAY], []).append(marker.parent)
    for day in sorted(by_day, reverse=True):
        if day <= run_date.replace("-", ""):
            yield by_day[day]


def _summaries(folders: list[Path]) -> Iterator[Summary]:
    for folder in folders:
        try:
            yield read_summary(folder / "summary.json")
        except OutputError:
            continue
