"""Which run a run's changes are counted from: decided once, and kept in the run's state.

The output folder goes on changing, so whoever decided again when a report is written again could
take another run. What was decided names the earlier run's lookups by their digest.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from pathlib import Path

import msgspec

from batch_screen.checked import read_record, write_record
from batch_screen.errors import OutputError
from batch_screen.output.feed import Told
from batch_screen.output.parts import LOOKUPS, Layout
from batch_screen.output.recorded import (
    BASE_URL,
    Recorded,
    UnusableRunError,
    opened,
    recorded,
    told_by,
)
from batch_screen.output.sides import Side
from batch_screen.output.summary import Summary, read_summary
from batch_screen.output.validate import is_run_id, layout_of_run

FIRST_RUN = ""


class Previous(msgspec.Struct, frozen=True):
    """The earlier run, ``FIRST_RUN`` where there was none, and the digest of its lookups.

    ``unusable`` says why it could not be compared with when that was decided.
    """

    run_id: str = FIRST_RUN
    lookups_sha256: str = ""
    unusable: str = ""


def previous_run(record: Path, layout: Layout, told: Told, base_url: str) -> Previous:
    """What the file ``record`` says, or else what is decided now and written there."""
    if record.exists():
        return read_record(record, Previous)
    decided = _decide(layout, told, base_url)
    write_record(record, decided)
    return decided


def open_previous(layout: Layout, previous: Previous) -> tuple[Told, Side]:
    """The previous run's lookups, if they are what they were. Raises ``UnusableRunError``."""
    earlier = layout_of_run(layout.folder, previous.run_id)
    if previous.unusable:
        raise UnusableRunError(previous.unusable)
    told = recorded(earlier).told
    side, digest = opened(earlier, [LOOKUPS])
    if digest != previous.lookups_sha256:
        raise UnusableRunError("it has been written anew since, with other lookups")
    return told, side


def summary_before(layout: Layout, summary: Summary) -> Summary | None:
    """The summary of the latest complete run that had ended when this one ended; None: no such run.

    What cannot be read is passed over: it is another run's, and ``validate`` tells of it.
    """
    base_url = str(summary.settings.get(BASE_URL, ""))
    latest = _latest(layout, told_by(summary), base_url, summary.session.ended_at)
    try:
        return read_summary(latest.layout.summary) if latest else None
    except OutputError:
        return None


def _decide(layout: Layout, told: Told, base_url: str) -> Previous:
    latest = _latest(layout, told, base_url)
    if latest is None:
        return Previous()
    run_id = latest.told.run_id
    try:
        _, digest = opened(latest.layout, [LOOKUPS])
    except UnusableRunError as error:
        return Previous(run_id, unusable=str(error))
    return Previous(run_id, digest)


def _latest(
    layout: Layout, told: Told, base_url: str, by: datetime | None = None
) -> Recorded | None:
    """The complete run with the latest date, then the latest end, that can be compared with.

    ``by``: it had ended by then.
    """
    for _, run_ids in groupby(_older_runs(layout), key=_date):
        runs = [r for r in map(_recorded, (layout_of_run(layout.folder, n) for n in run_ids)) if r]
        fitting = [
            run
            for run in runs
            if run.base_url == base_url
            and {*run.told.endpoints} & {*told.endpoints}
            and (by is None or run.ended_at <= by)
        ]
        if fitting:
            return max(fitting, key=lambda run: (run.ended_at, run.told.run_id))
    return None


def _recorded(layout: Layout) -> Recorded | None:
    try:
        return recorded(layout)
    except UnusableRunError:  # what it asked, and of whom, cannot be known
        return None


def _older_runs(layout: Layout) -> Iterator[str]:
    """Other runs of this date or an earlier one, the latest date first."""
    names = {path.name for path in (layout.folder / "runs").glob("*") if is_run_id(path.name)}
    for name in sorted(names - {layout.run_id}, reverse=True):
        if _date(name) <= _date(layout.run_id):
            yield name


def _date(run_id: str) -> str:
    return run_id[:8]
