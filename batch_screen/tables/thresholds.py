"""Judges the thresholds of a complete run: a pure function of its figures and the previous run's.

A figure that cannot be counted (no lookup was answered, no run came before) crosses nothing, and
the judgement says why.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from batch_screen.config.parsing import Threshold
from batch_screen.config.sections import Guards
from batch_screen.errors import ExitCode
from batch_screen.model import Endpoint, OutcomeKind
from batch_screen.tables.summary import Judgement, LookupFigures, Summary

_NO_PREVIOUS = "does not apply: there is no earlier complete run in this folder"
_NO_FIGURE = "does not apply: there is nothing to count it from"
_FROM_NOTHING = "it was 0 in the previous run"


def judged(summary: Summary, guards: Guards, previous: Summary | None) -> Summary:
    """The complete run's summary with its judgements and its exit code."""
    found = [judge(each, summary, previous) for each in guards.thresholds]
    has_failed = summary.failure_share > guards.max_failure_share
    is_crossed = has_failed or any(each.crossed for each in found)
    code = ExitCode.FAILURES if is_crossed else ExitCode.COMPLETE
    return replace(summary, thresholds=found, exit_code=int(code))


def judge(threshold: Threshold, summary: Summary, previous: Summary | None) -> Judgement:
    """Judges one threshold by the figure observed: a share, or an amount."""
    seen = figure(threshold, summary)
    if not threshold.is_change:
        return _judgement(threshold, seen)
    if previous is None:
        return Judgement(threshold.text, note=_NO_PREVIOUS)
    before = figure(threshold, previous)
    run = previous.run_id
    if seen is None or before is None:
        return Judgement(threshold.text, note=_NO_FIGURE, previous_run=run)
    if not before and seen:  # as if it had grown without bound
        crossed = threshold.is_crossed_by(float("inf"))
        return Judgement(threshold.text, crossed=crossed, note=_FROM_NOTHING, previous_run=run)
    change = (seen - before) / before if before else 0.0
    return replace(_judgement(threshold, change), previous_run=run)


def figure(threshold: Threshold, summary: Summary) -> float | None:
    """The threshold's figure in this summary; None if it cannot be counted."""
    rows = summary.rows
    empty = rows.empty_beside_others
    of_rows: dict[str, float | None] = {
        "rows": rows.read,
        "numbers": rows.unique_numbers,
        "reject_rate": _share(rows.rejected - empty, rows.read - empty),
        "duplicate_rate": _share(rows.duplicates, rows.accepted),
    }
    if threshold.figure in of_rows:
        return of_rows[threshold.figure]
    if threshold.endpoint and threshold.endpoint not in summary.endpoints:
        return None
    return _of_lookups(threshold, summary)


def _of_lookups(threshold: Threshold, summary: Summary) -> float | None:
    wanted = threshold.endpoint
    chosen = {n: e for n, e in summary.endpoints.items() if wanted in (None, n)}
    lookups = sum(each.total for each in chosen.values())
    if threshold.figure == "lookups":
        return lookups
    if threshold.figure == "cost":
        return round(sum(each.cost for each in chosen.values()), 6)
    if threshold.figure == "failure_rate":
        return _share(sum(each.failed for each in chosen.values()), lookups)
    if threshold.figure == "unknown_rate":
        due = lookups - sum(each.spared for each in chosen.values())
        return _share(due - _known(chosen.values()), due)
    if wanted is None:  # that a date is known is no finding
        chosen = {n: e for n, e in chosen.items() if not Endpoint(n).answers_date}
    return _share(sum(each.positives for each in chosen.values()), _known(chosen.values()))


def _known(figures: Iterable[LookupFigures]) -> int:
    return sum(each.by_outcome.get(OutcomeKind.SUCCESS, 0) for each in figures)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _judgement(threshold: Threshold, seen: float | None) -> Judgement:
    if seen is None:
        return Judgement(threshold.text, note=_NO_FIGURE)
    return Judgement(threshold.text, round(seen, 9), threshold.is_crossed_by(seen))
