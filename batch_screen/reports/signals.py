"""The report's findings: signals by region, and changes since the previous run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from batch_screen.masking import safe_line
from batch_screen.model import Endpoint, LatestChange
from batch_screen.numbers.rules import NO_COUNTRY
from batch_screen.reports.words import (
    MOST_ROWS,
    RECENT_DAYS,
    PageTable,
    ShareBar,
    counted,
    headed,
    parted,
    share,
    title_of,
)
from batch_screen.tables.breakdown import FUTURE, NO, NO_REGION, UNKNOWN, YES, Breakdown
from batch_screen.tables.coverage import Changes, Cohort
from batch_screen.tables.results import RECENT
from batch_screen.tables.summary import Judgement

# Findings per signal and region: yes, no and unknown, which is never counted with no.

MOST_REGIONS = 12
_NO_CODE = {NO_REGION: "no region", NO_COUNTRY: "no country"}
_NONE = LatestChange.NONE_REPORTED.value
_CHECK = headed(
    "text number number number number bar", "Region", "Numbers", "Yes", "No", "Unknown", "Share yes"
)
_DATE = headed(
    "text number number number number number bar",
    "Region",
    "Numbers",
    f"< {RECENT_DAYS} days",
    "Older",
    "None reported",
    "Unknown",
    f"Share < {RECENT_DAYS} days",
)


def signal_tables(breakdown: Breakdown, settings: Mapping[str, object]) -> list[PageTable]:
    """A table for each endpoint asked; the regions with most numbers first."""
    return [
        _table(Endpoint(name), regions, title_of(Endpoint(name), settings))
        for name, regions in breakdown.values.items()
    ]


def _table(endpoint: Endpoint, regions: Mapping[str, Mapping[str, int]], title: str) -> PageTable:
    counts = {region: _counts(endpoint, values) for region, values in regions.items()}
    ordered = sorted(counts, key=lambda region: (-sum(counts[region]), region))
    shown, others = parted(ordered, MOST_REGIONS)
    listed = {_NO_CODE.get(region, region): counts[region] for region in shown}
    if others:
        listed[counted(len(others), "other")] = _added([counts[region] for region in others])
    # Bars are drawn against the longest: where all shares are small, they still differ.
    most = max((_positive_share(each) for each in listed.values()), default=0.0)
    total = _row("All", _added(list(counts.values())), most)
    rows = [total, *(_row(name, each, most) for name, each in listed.items())]
    columns = _DATE if endpoint.answers_date else _CHECK
    note = ""
    if future := sum(values.get(FUTURE, 0) for values in regions.values()):
        verb = "tells" if future == 1 else "tell"
        note = f"Unknown holds {counted(future, 'date')} in the future, which {verb} no age."
    return PageTable(f"{title} · {endpoint.value}", columns, rows, has_total=True, note=note)


def _counts(endpoint: Endpoint, values: Mapping[str, int]) -> list[int]:
    """Counts in the order of the columns: positive first, unknown last."""
    if not endpoint.answers_date:
        return [values.get(value, 0) for value in (YES, NO, UNKNOWN)]
    young = sum(values.get(band, 0) for band in RECENT)
    none, unknown = values.get(_NONE, 0), values.get(UNKNOWN, 0) + values.get(FUTURE, 0)
    return [young, sum(values.values()) - young - none - unknown, none, unknown]


def _added(counts: Sequence[Sequence[int]]) -> list[int]:
    return [sum(each) for each in zip(*counts, strict=True)] or [0, 0, 0]


def _positive_share(counts: Sequence[int]) -> float:
    known = sum(counts[:-1])
    return counts[0] / known if known else 0.0


def _row(name: str, counts: Sequence[int], most: float) -> list[str | ShareBar]:
    length = _positive_share(counts) / most if most else 0.0
    known = sum(counts[:-1])
    cells = [name, f"{sum(counts):,}", *(f"{count:,}" for count in counts)]
    return [*cells, ShareBar(share(counts[0], known), length)]


def by_band(breakdown: Breakdown, endpoint: Endpoint) -> Counter[str]:
    """Numbers by the age of their latest change, over all regions."""
    total: Counter[str] = Counter()
    for values in breakdown.values.get(endpoint.value, {}).values():
        total.update(values)
    return total


# What differs from the run before, and which thresholds were crossed.

_CHANGES = ("newly_positive", "newly_negative", "date_moved", "became_unknown", "became_known")
_TEXT_CHARACTERS = 120


def changes_table(changes: Changes) -> PageTable:
    """Changes since the previous run, per endpoint."""
    rows = [
        (name, *(f"{counts.get(change, 0):,}" for change in _CHANGES))
        for name, counts in changes.endpoints.items()
    ]
    headings = [change.replace("_", " ").capitalize() for change in _CHANGES]
    columns = {"Endpoint": "text", **dict.fromkeys(headings, "number")}
    since = f"Since run {changes.since_run} of {changes.since_date}"
    note = (
        f"{counted(changes.numbers_compared, 'number')} in both runs; {changes.numbers_new:,} are "
        f"new, {changes.numbers_gone:,} are gone."
    )
    return PageTable(since, columns, rows, is_wide=True, note=note)


def cohorts_table(cohorts: Sequence[Cohort]) -> PageTable:
    """Cohorts with an unusual rise of positives."""
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
    columns = headed(
        "text number number number number",
        "Numbers of",
        "Numbers",
        "Newly positive",
        "Share",
        "Usual",
    )
    note = "A rise across a whole group is more often an operator's migration than fraud."
    if others:
        note += f" {counted(len(others), 'other group')} are not shown."
    return PageTable("Groups with an unusual rise", columns, rows, is_wide=True, note=note)


def thresholds_table(thresholds: Sequence[Judgement]) -> PageTable:
    """Thresholds with the observed figure, crossed ones first."""
    ordered = sorted(thresholds, key=lambda each: not each.crossed)
    shown, others = parted(ordered, MOST_ROWS)
    rows = []
    for each in shown:
        seen = each.note or "unknown" if each.seen is None else f"{each.seen:,.6g}"
        rows.append((each.expr, seen, "crossed" if each.crossed else "kept"))
    columns = headed("code number text", "Threshold", "Seen, as a share or an amount", "State")
    note = f"{counted(len(others), 'other')} not shown." if others else ""
    return PageTable("Thresholds", columns, rows, note=note)


def _safe(text: str) -> str:
    return safe_line(text, _TEXT_CHARACTERS)
