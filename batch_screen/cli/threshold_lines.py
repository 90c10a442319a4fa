"""What became of the thresholds of ``fail_if``, in words."""

from __future__ import annotations

from collections.abc import Iterator

from batch_screen.cli.report_lines import below, labelled
from batch_screen.config.thresholds import threshold
from batch_screen.output.summary import Judgement, Summary


def threshold_lines(summary: Summary) -> Iterator[str]:
    """A line for each threshold, below one label."""
    for number, each in enumerate(summary.thresholds):
        yield from below(_told(each)) if number else labelled("thresholds", _told(each))


def crossed(summary: Summary) -> list[str]:
    """The thresholds that are crossed, with what was seen."""
    return [_told(each) for each in summary.thresholds if each.crossed]


def _told(judgement: Judgement) -> str:
    """One threshold in words.

    >>> _told(Judgement("failure_rate > 1%", 0.0234, crossed=True))
    'failure_rate > 1%: crossed, 2.34% seen'
    >>> _told(Judgement("rows < 1000", 2500.0))
    'rows < 1000: held, 2,500 seen'
    """
    parts = ["crossed" if judgement.crossed else "held"]
    if judgement.seen is None and not judgement.crossed:
        parts = []
    if judgement.seen is not None:
        parts.append(f"{_amount(judgement.expr, judgement.seen)} seen")
    if judgement.note:
        parts.append(judgement.note)
    if judgement.previous_run:
        parts.append(f"against run {judgement.previous_run}")
    return f"{judgement.expr}: {', '.join(parts)}"


def _amount(expr: str, seen: float) -> str:
    read = threshold(expr)
    if read.is_share:
        return f"{seen:+.2%}" if read.is_change else f"{seen:.2%}"
    return f"{seen:,.2f}" if read.figure == "cost" else f"{seen:,.0f}"
