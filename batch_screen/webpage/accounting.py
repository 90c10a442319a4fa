"""Every row and every lookup is accounted for: sums that a reader can check."""

from __future__ import annotations

from typing import NamedTuple

from batch_screen.model import OutcomeKind
from batch_screen.output.summary import Summary
from batch_screen.webpage.tables import Column, Kind, Table
from batch_screen.webpage.words import counted


class Term(NamedTuple):
    """A figure of a sum and its name."""

    value: str
    name: str


class Sum(NamedTuple):
    """The first figure is the sum of the others."""

    whole: Term
    parts: list[Term]


def sums_of(summary: Summary) -> list[Sum]:
    """Rows, numbers and lookups, each as a sum."""
    rows = summary.rows
    totals = _totals(summary)
    lookups = [Term(f"{count:,}", name) for name, count in totals.items()]
    if OutcomeKind.SKIPPED.value not in totals:
        lookups.append(Term("0", OutcomeKind.SKIPPED.value))
    return [
        Sum(
            Term(f"{rows.read:,}", "rows read"),
            [Term(f"{rows.accepted:,}", "accepted"), Term(f"{rows.rejected:,}", "rejected")],
        ),
        Sum(
            Term(f"{rows.accepted:,}", "accepted"),
            [Term(f"{rows.unique_numbers:,}", "numbers"), Term(f"{rows.duplicates:,}", "repeats")],
        ),
        Sum(Term(f"{summary.lookups:,}", "lookups"), lookups or [Term("0", "none")]),
    ]


def lookups_table(summary: Summary) -> Table:
    """Lookups of each endpoint by outcome; of a run that was stopped also what is left."""
    each = list(summary.endpoints.values())
    rows = [["all", *(f"{figures.total:,}" for figures in each)]]
    rows += [
        [outcome, *(f"{figures.by_outcome.get(outcome, 0):,}" for figures in each)]
        for outcome in _totals(summary)
    ]
    if summary.is_stopped:
        rows.append(["still to be asked", *(f"{figures.left:,}" for figures in each)])
    columns = (Column("Outcome", Kind.TEXT), *map(Column, summary.endpoints))
    numbers = counted(summary.rows.unique_numbers, "number")
    endpoints = counted(len(each), "endpoint")
    note = f"{numbers} at {endpoints}; a number that stands in several rows is asked about once."
    caption = "Lookups by endpoint and outcome"
    return Table(caption, columns, rows, has_total=True, is_wide=True, note=note)


def _totals(summary: Summary) -> dict[str, int]:
    """Lookups by outcome over all endpoints, success first."""
    totals = {
        kind.value: sum(e.by_outcome.get(kind.value, 0) for e in summary.endpoints.values())
        for kind in OutcomeKind
    }
    return {
        name: count for name, count in totals.items() if count or name == OutcomeKind.SUCCESS.value
    }
