"""What did not come off: failed lookups by outcome and rejected rows by reason, with remedies."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from batch_screen.model import OutcomeKind
from batch_screen.numbers.rules import REMEDY as REJECT_REMEDY
from batch_screen.numbers.rules import RejectReason
from batch_screen.output.complaints import Complaints, Example, Failure
from batch_screen.output.failures import REMEDY, RETRY_CAN_HELP
from batch_screen.output.summary import Summary
from batch_screen.webpage.tables import MOST_ROWS, Column, Kind, Table, parted
from batch_screen.webpage.words import counted, share

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


def answers_table(complaints: Complaints, endpoints: int) -> Table:
    """What the server said, by outcome and status, with one of its texts each.

    ``endpoints`` is how many were asked: where all of them said the same, none is named.
    """
    alike: dict[tuple[str, str, str], list[Failure]] = {}
    for failure in complaints.failures:
        status = "–" if failure.http_status is None else str(failure.http_status)
        alike.setdefault((failure.outcome, status, _said(failure)), []).append(failure)
    shown, others = parted(alike.items(), MOST_ROWS)
    rows = [
        (outcome, f"{_lookups(failures):,}", _named(failures, endpoints), status, said)
        for (outcome, status, said), failures in shown
    ]
    columns = (
        Column("Outcome", Kind.TEXT),
        Column("Lookups"),
        Column("Endpoints", Kind.TEXT),
        Column("HTTP status"),
        Column("For example", Kind.TEXT),
    )
    rest = sum(_lookups(failures) for _, failures in others)
    kinds = counted(len(others), "other kind")
    note = f"{kinds} with {counted(rest, 'lookup')}; the table errors has each." if others else ""
    return Table("What came back", columns, rows, is_wide=True, note=note)


def _lookups(failures: Sequence[Failure]) -> int:
    return sum(failure.lookups for failure in failures)


def _named(failures: Sequence[Failure], endpoints: int) -> str:
    names = list(dict.fromkeys(failure.endpoint for failure in failures))
    return f"all {endpoints}" if len(names) == endpoints > 1 else ", ".join(names)


def _said(failure: Failure) -> str:
    return ": ".join(word for word in (failure.code, failure.detail) if word) or "–"


def rejects_table(summary: Summary, complaints: Complaints | None) -> Table:
    """Rows that never reached the network, by reason, with masked examples and what to do."""
    rows = summary.rows
    examples = complaints.examples if complaints else {}
    files = {each.source_file for listed in examples.values() for each in listed}
    listed = [
        (
            reason,
            f"{count:,}",
            share(count, rows.read),
            "\n".join(_example(each, files) for each in examples.get(reason, [])) or "–",
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
    note = "Rows are counted from 1, the header not counted."
    return Table("By reason", columns, listed, is_wide=True, note=note)


def _example(example: Example, files: Collection[str]) -> str:
    """The cell's shape and its place; the file where there are several."""
    shown = example.raw_masked or _NOTHING_TO_SHOW
    region = f" ({example.raw_region})" if example.raw_region else ""
    place = f"row {example.source_row:,}"
    return f"{shown}{region}, {place}" + (f" of {example.source_file}" if len(files) > 1 else "")


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
