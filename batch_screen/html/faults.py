"""What did not come off: failed lookups by outcome and rejected rows by reason, with remedies."""

from __future__ import annotations

from collections.abc import Sequence

from batch_screen.html.tables import MOST_ROWS, Column, Kind, Table, parted
from batch_screen.html.words import counted, share
from batch_screen.model import OutcomeKind
from batch_screen.numbers.rules import REMEDY as REJECT_REMEDY
from batch_screen.numbers.rules import RejectReason
from batch_screen.output.complaints import Complaints, Example, Failure
from batch_screen.output.failures import REMEDY, RETRY_CAN_HELP
from batch_screen.output.summary import Summary

_NOTHING_TO_SHOW = "an empty cell"


def failures_table(summary: Summary) -> Table:
    """Outcomes that leave a signal unknown, the most frequent first, with what to do."""
    counts = {
        kind: sum(e.by_outcome.get(kind.value, 0) for e in summary.endpoints.values())
        for kind in REMEDY
    }
    rows = [
        (
            kind.value,
            f"{count:,}",
            share(count, summary.lookups),
            "can help" if kind in RETRY_CAN_HELP else "no",
            REMEDY[kind],
        )
        for kind, count in sorted(counts.items(), key=lambda each: -each[1])
        if count
    ]
    columns = (
        Column("Outcome", Kind.TEXT),
        Column("Lookups"),
        Column("Share"),
        Column("Asking again", Kind.TEXT),
        Column("What to do", Kind.TEXT),
    )
    return Table("By outcome", columns, rows, is_wide=True)


def answers_table(complaints: Complaints) -> Table:
    """What the server said, by endpoint, outcome and status, with one of its texts each."""
    shown, others = parted(complaints.failures, MOST_ROWS)
    rows = [
        (
            failure.outcome,
            failure.endpoint,
            f"{failure.lookups:,}",
            "–" if failure.http_status is None else str(failure.http_status),
            _said(failure),
        )
        for failure in shown
    ]
    columns = (
        Column("Outcome", Kind.TEXT),
        Column("Endpoint", Kind.TEXT),
        Column("Lookups"),
        Column("HTTP status"),
        Column("For example", Kind.TEXT),
    )
    return Table("What came back", columns, rows, is_wide=True, note=_more(others))


def _said(failure: Failure) -> str:
    return ": ".join(word for word in (failure.code, failure.detail) if word) or "–"


def _more(others: Sequence[Failure]) -> str:
    if not others:
        return ""
    lookups = counted(sum(failure.lookups for failure in others), "lookup")
    return f"{counted(len(others), 'other kind')} with {lookups}; the table errors has each."


def rejects_table(summary: Summary, complaints: Complaints | None) -> Table:
    """Rows that never reached the network, by reason, with masked examples and what to do."""
    rows = summary.rows
    examples = complaints.examples if complaints else {}
    listed = [
        (
            reason,
            f"{count:,}",
            share(count, rows.read),
            "; ".join(map(_example, examples.get(reason, []))) or "–",
            REJECT_REMEDY[RejectReason(reason)],
        )
        for reason, count in rows.rejected_by_reason.items()
    ]
    columns = (
        Column("Reason", Kind.TEXT),
        Column("Rows"),
        Column("Of all rows"),
        Column("Examples, masked", Kind.CODE),
        Column("What to do", Kind.TEXT),
    )
    return Table("By reason", columns, listed, is_wide=True)


def _example(example: Example) -> str:
    shown = example.raw_masked or _NOTHING_TO_SHOW
    region = f" ({example.raw_region})" if example.raw_region else ""
    return f"{shown}{region}, row {example.source_row:,} of {example.source_file}"


def inconclusive(summary: Summary) -> str:
    """What the API does not know is no failure of the run, but no answer either."""
    kinds = (OutcomeKind.NOT_FOUND, OutcomeKind.NOT_APPLICABLE)
    count = sum(
        e.by_outcome.get(kind.value, 0) for e in summary.endpoints.values() for kind in kinds
    )
    if not count:
        return ""
    return (
        f"{counted(count, 'lookup')} ended with not_found or not_applicable: the API answered that "
        "it cannot tell. They do not count as failed, and their signals are unknown."
    )
