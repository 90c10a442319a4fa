"""What differs from the run before, and which thresholds were crossed, where a run tells."""

from __future__ import annotations

from collections.abc import Sequence

from batch_screen.masking import safe_line
from batch_screen.output.changes import Changes, Cohort
from batch_screen.output.summary import Judgement
from batch_screen.webpage.tables import MOST_ROWS, Column, Kind, Table, parted
from batch_screen.webpage.words import counted, share

_CHANGES = ("newly_positive", "newly_negative", "date_moved", "became_unknown", "became_known")
_TEXT_CHARACTERS = 120


def changes_table(changes: Changes) -> Table:
    """Numbers by endpoint and by what became of their signal since."""
    rows = [
        (name, *(f"{counts.get(change, 0):,}" for change in _CHANGES))
        for name, counts in changes.endpoints.items()
    ]
    headings = (Column(change.replace("_", " ").capitalize()) for change in _CHANGES)
    columns = (Column("Endpoint", Kind.TEXT), *headings)
    since = f"Since run {changes.since_run} of {changes.since_date}"
    note = (
        f"{counted(changes.numbers_compared, 'number')} in both runs; {changes.numbers_new:,} are "
        f"new, {changes.numbers_gone:,} are gone."
    )
    return Table(since, columns, rows, is_wide=True, note=note)


def cohorts_table(cohorts: Sequence[Cohort]) -> Table:
    """Regions or blocks in which unusually many became positive at once."""
    shown, others = parted(cohorts, MOST_ROWS // 2)
    rows = [
        (
            f"{_safe(cohort.level)} {_safe(cohort.name)}",
            f"{cohort.numbers:,}",
            f"{cohort.newly_positive:,}",
            share(cohort.share, 1),
            share(cohort.usual_share, 1),
        )
        for cohort in shown
    ]
    columns = (
        Column("Numbers of", Kind.TEXT),
        Column("Numbers"),
        Column("Newly positive"),
        Column("Share"),
        Column("Usual"),
    )
    note = "A rise across a whole group is more often an operator's migration than fraud."
    if others:
        note += f" {counted(len(others), 'other group')} are not shown."
    return Table("Groups with an unusual rise", columns, rows, is_wide=True, note=note)


def thresholds_table(thresholds: Sequence[Judgement]) -> Table:
    """Each bound with what was seen; crossed ones first."""
    ordered = sorted(thresholds, key=lambda each: not each.crossed)
    shown, others = parted(ordered, MOST_ROWS)
    rows = [
        (
            _safe(each.expr),
            _seen(each),
            "crossed" if each.crossed else "kept",
        )
        for each in shown
    ]
    columns = (
        Column("Threshold", Kind.CODE),
        Column("Seen, as a share or an amount"),
        Column("State", Kind.TEXT),
    )
    note = f"{counted(len(others), 'other')} not shown." if others else ""
    return Table("Thresholds", columns, rows, note=note)


def _seen(judgement: Judgement) -> str:
    if judgement.seen is None:
        return _safe(judgement.note) or "unknown"
    return f"{judgement.seen:,.6g}"


def _safe(text: str) -> str:
    return safe_line(text, _TEXT_CHARACTERS)
