"""The report's tables: accounting, sessions, latency, cost, failures, rejects, settings, files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from batch_screen.masking import safe_line
from batch_screen.model import ContractPace, OutcomeKind, Session
from batch_screen.numbers.rules import REMEDY as REJECT_REMEDY
from batch_screen.numbers.rules import RejectReason
from batch_screen.reports.words import (
    MOST_ROWS,
    PageTable,
    counted,
    duration,
    headed,
    parted,
    share,
    size,
)
from batch_screen.runs.layout import RESULTS, TABLES
from batch_screen.schema import SCHEMA_VERSION
from batch_screen.tables.errors import REMEDY, RETRY_CAN_HELP, ErrorSummary, Failure, RejectExample
from batch_screen.tables.manifest import ListedFile
from batch_screen.tables.summary import Summary

# Every row and every lookup is accounted for: sums that a reader can check.


def sums_of(summary: Summary) -> list[list[tuple[int, str]]]:
    """Rows, numbers and lookups, each as a total with its named parts."""
    rows = summary.rows
    totals = _totals(summary)
    # That nothing was skipped is said too: it is the outcome nobody would miss.
    totals.setdefault(OutcomeKind.SKIPPED.value, 0)
    erased = [(summary.erased_rows(RESULTS), "erased")] if summary.erased else []
    return [
        [
            (rows.read, "rows read"),
            (rows.accepted, "accepted"),
            (rows.rejected, "rejected"),
            *erased,
        ],
        [
            (rows.accepted, "accepted"),
            (rows.unique_numbers, "numbers"),
            (rows.duplicates, "repeats"),
        ],
        [(summary.lookups, "lookups"), *((count, name) for name, count in totals.items())],
    ]


def lookups_table(summary: Summary) -> PageTable:
    """Lookups by endpoint and outcome; for a stopped run also those still open."""
    each = list(summary.endpoints.values())
    rows = [["all", *(f"{figures.total:,}" for figures in each)]]
    rows += [
        [outcome, *(f"{figures.by_outcome.get(outcome, 0):,}" for figures in each)]
        for outcome in _totals(summary)
    ]
    if summary.is_stopped:
        rows.append(["still to be asked", *(f"{figures.left:,}" for figures in each)])
    columns = {"Outcome": "text", **dict.fromkeys(summary.endpoints, "number")}
    numbers = counted(summary.rows.unique_numbers, "number")
    endpoints = counted(len(each), "endpoint")
    note = f"{numbers} at {endpoints}; a number that stands in several rows is asked about once."
    caption = "Lookups by endpoint and outcome"
    return PageTable(caption, columns, rows, has_total=True, is_wide=True, note=note)


def _totals(summary: Summary) -> dict[str, int]:
    """Lookups by outcome over all endpoints, success first."""
    totals = {kind: _count(summary, kind) for kind in OutcomeKind}
    return {kind.value: n for kind, n in totals.items() if n or kind is OutcomeKind.SUCCESS}


def _count(summary: Summary, kind: OutcomeKind) -> int:
    return sum(figures.by_outcome.get(kind.value, 0) for figures in summary.endpoints.values())


# How the asking went: starts, latency, and what it cost.

_MOST_STARTS = 10
_PERCENTILES = ("p50", "p95", "p99")


def starts_table(starts: Sequence[Session]) -> PageTable:
    """One row per session; earlier ones are summed up in the note."""
    earlier, shown = starts[:-_MOST_STARTS], starts[-_MOST_STARTS:]
    if len(earlier) == 1:  # one alone is never summed up
        earlier, shown = [], starts
    rows = [
        (
            f"{number:,}",
            f"{start.started_at:%Y-%m-%d %H:%M:%S} UTC",
            duration(start.asking_seconds),
            f"{start.attempts:,}",
            f"{sum(start.pace.refused):,}",
            f"{start.rate_per_second:,.1f}/s",
        )
        for number, start in enumerate(shown, len(earlier) + 1)
    ]
    note = ""
    if earlier:
        attempts = sum(start.attempts for start in earlier)
        seconds = sum(start.asking_seconds for start in earlier)
        note = (
            f"{len(earlier):,} earlier starts made {counted(attempts, 'request')} in "
            f"{duration(seconds)}."
        )
    if held := sum(start.pace.held_by_headers_seconds for start in starts):
        note += f" The API's headers held requests back for {duration(held)}."
    columns = headed(
        "text text number number number number",
        "Start",
        "Began",
        "Asked for",
        "Requests",
        "Refused",
        "Mean rate",
    )
    return PageTable("Starts", columns, rows, is_wide=True, note=note.strip())


def contracts_table(starts: Sequence[Session]) -> PageTable:
    """One row per contract over all starts, where regions have contracts of their own."""
    found: dict[str, list[ContractPace]] = {}
    for start in starts:
        for name, pace in (start.contracts or {}).items():
            found.setdefault(_safe(name), []).append(pace)
    rows = []
    for name, paces in found.items():
        asked, seconds = sum(p.attempts for p in paces), sum(p.seconds for p in paces)
        rows.append(
            (
                name,
                f"{paces[-1].rate_per_second:g}/s",
                duration(seconds),
                f"{asked:,}",
                f"{sum(p.refused for p in paces):,}",
                f"{asked / seconds if seconds else 0.0:,.1f}/s",
            )
        )
    columns = headed(
        "text number number number number number",
        "Contract",
        "Permitted",
        "Asked for",
        "Requests",
        "Refused",
        "Mean rate",
    )
    note = "Each region with a contract of its own is asked under it, all at the same time."
    return PageTable("Contracts", columns, rows, is_wide=True, note=note)


def latency_table(summary: Summary) -> PageTable:
    """Latency percentiles per endpoint."""
    rows = [
        (name, *(f"{figures.latency_ms[p]:,.1f} ms" for p in _PERCENTILES))
        for name, figures in summary.endpoints.items()
        if figures.latency_ms
    ]
    columns = headed(
        "text number number number", "Endpoint", "Half below", "95 % below", "99 % below"
    )
    return PageTable("Latency of the answers", columns, rows)


def cost_table(summary: Summary) -> PageTable:
    """Requests, refusals and cost per endpoint; refusals are not billed."""
    figures = summary.endpoints.values()
    total = (sum(e.attempts for e in figures), sum(e.refusals for e in figures), summary.cost)
    each = {name: (e.attempts, e.refusals, e.cost) for name, e in summary.endpoints.items()}
    rows = [
        (
            name,
            f"{requests:,}",
            f"{refused:,}",
            f"{requests - refused:,}",
            f"{cost:,.2f}" if summary.cost else "–",
        )
        for name, (requests, refused, cost) in {"All": total, **each}.items()
    ]
    columns = headed(
        "text number number number number",
        "Endpoint",
        "Requests",
        "Refused",
        "Billed at most",
        f"Cost, {summary.currency}",
    )
    return PageTable("Cost by endpoint", columns, rows, has_total=True, is_wide=True)


def cost_note(summary: Summary) -> str:
    """The sentence on the cost and what it excludes."""
    if not summary.cost:
        return "No prices are set: the contract's belong under [prices.per_request]."
    return "By the prices that were set; a request that was refused for the rate is not billed."


# What did not come off: failed lookups by outcome and rejected rows by reason, with remedies.


def failures_table(summary: Summary) -> PageTable:
    """Failed lookups per outcome, the most frequent first, with the remedy."""
    counts = {kind: _count(summary, kind) for kind in REMEDY}
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
    columns = headed(
        "text number number text text", "Outcome", "Lookups", "Share", "Asking again", "What to do"
    )
    return PageTable("By outcome", columns, rows, is_wide=True)


def answers_table(errors: ErrorSummary, endpoints: int) -> PageTable:
    """Failures by outcome, status and the server's text.

    ``endpoints`` is how many were asked: where all of them said the same, none is named.
    """
    alike: dict[tuple[str, str, str], list[Failure]] = {}
    for failure in errors.failures:
        status = "–" if failure.http_status is None else str(failure.http_status)
        said = ": ".join(word for word in (failure.code, failure.detail) if word) or "–"
        alike.setdefault((failure.outcome, status, said), []).append(failure)
    shown, others = parted(alike.items(), MOST_ROWS)
    rows = []
    for (outcome, status, said), failures in shown:
        names = list(dict.fromkeys(failure.endpoint for failure in failures))
        where = f"all {endpoints}" if len(names) == endpoints > 1 else ", ".join(names)
        rows.append((outcome, f"{_lookups(failures):,}", where, status, said))
    columns = headed(
        "text number text number text",
        "Outcome",
        "Lookups",
        "Endpoints",
        "HTTP status",
        "For example",
    )
    rest = sum(_lookups(failures) for _, failures in others)
    kinds = counted(len(others), "other kind")
    note = f"{kinds} with {counted(rest, 'lookup')}; the table errors has each." if others else ""
    return PageTable("What came back", columns, rows, is_wide=True, note=note)


def _lookups(failures: Sequence[Failure]) -> int:
    return sum(failure.lookups for failure in failures)


def rejects_table(summary: Summary, errors: ErrorSummary | None) -> PageTable:
    """Rejected rows per reason, with the remedy and masked examples.

    An example names its file and its phone column where there are several.
    """
    rows = summary.rows
    examples = errors.examples if errors else {}
    files = {each.source_file for listed in examples.values() for each in listed}

    def shown(example: RejectExample) -> str:
        cell = example.raw_masked or "an empty cell"
        region = f" ({example.raw_region})" if example.raw_region else ""
        place = f", {example.phone_column}" if len(rows.by_phone_column) > 1 else ""
        place += f" of {example.source_file}" if len(files) > 1 else ""
        return f"{cell}{region}, row {example.source_row:,}{place}"

    listed = [
        (
            reason,
            f"{count:,}",
            share(count, rows.read),
            "\n".join(shown(each) for each in examples.get(reason, [])) or "–",
            REJECT_REMEDY[RejectReason(reason)],
        )
        for reason, count in rows.rejected_by_reason.items()
    ]
    columns = headed(
        "text number number code text",
        "Reason",
        "Rows",
        "Of all rows",
        "Examples, masked",
        "What to do",
    )
    note = "Rows are counted from 1, the header not counted."
    if len(rows.by_phone_column) > 1:
        filled = ", ".join(
            f"{_safe(name)} {column.read - column.empty:,} of {column.read:,} filled"
            for name, column in rows.by_phone_column.items()
        )
        note = f"Each phone cell is a row: {filled}. {note}"
    return PageTable("By reason", columns, listed, is_wide=True, note=note)


def inconclusive(summary: Summary) -> str:
    """The sentence on not_found and not_applicable: no failure, but unknown."""
    kinds = (OutcomeKind.NOT_FOUND, OutcomeKind.NOT_APPLICABLE)
    count = sum(_count(summary, kind) for kind in kinds)
    if not count:
        return ""
    return (
        f"{counted(count, 'lookup')} ended with not_found or not_applicable: the API answered that "
        "it cannot tell. They do not count as failed, and their signals are unknown."
    )


# Where the figures come from: settings, files with their digests, versions.

_MOST_SETTINGS, _MOST_PARTS = 120, 12
_VALUE_CHARACTERS = 240
_USER = re.compile(r"(?<=//)[^/?#\s]*@")
"""A name and a password in an address."""


def settings_table(settings: Mapping[str, object]) -> PageTable:
    """The settings of the run's identity; the API key is never among them."""
    shown, others = parted(sorted(settings.items()), _MOST_SETTINGS)
    rows = []
    for name, value in shown:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        rows.append((_safe(name), _safe(_USER.sub("", text)) or "–"))
    columns = headed("code code", "Setting", "Value")
    note = f"{counted(len(others), 'other')} in summary.json." if others else ""
    caption = "Settings that can change an answer or a row"
    return PageTable(caption, columns, rows, is_wide=True, note=note)


def _safe(text: str) -> str:
    return safe_line(text, _VALUE_CHARACTERS)


def files_table(files: Sequence[ListedFile]) -> PageTable:
    """Files with size and SHA-256; of each table's parts only the first."""
    rows, left_out = [], []
    for table in (None, *TABLES):
        shown, others = parted((f for f in files if f.table == table), _MOST_PARTS)
        for file in shown:
            count = "–" if file.rows is None else f"{file.rows:,}"
            rows.append((file.path, count, size(file.bytes), file.sha256))
        left_out += others
    note = ""
    if left_out:
        further, total = sum(f.rows or 0 for f in left_out), sum(f.bytes for f in left_out)
        note = (
            f"{counted(len(left_out), 'further part')} with {further:,} rows and {size(total)}; "
            "manifest.json has the digest of each."
        )
    columns = headed("code number number code", "File", "Rows", "Size", "SHA-256")
    return PageTable("Files", columns, rows, is_wide=True, note=note)


def risk_version(summary: Summary) -> str:
    """The version of the rules for ages and flags, from the rows; empty without rows."""
    return ", ".join(summary.risk.get("risk_version", {}))


def versions_table(summary: Summary) -> PageTable:
    """The run's ids and versions, and facts noted while reading."""
    facts = {
        "run": summary.run_id,
        "run date": summary.run_date,
        "batch-screen": summary.version,
        "schema of the tables": str(SCHEMA_VERSION),
        **({"risk_version": version} if (version := risk_version(summary)) else {}),
        **{_safe(name.replace("_", " ")): _safe(value) for name, value in summary.facts.items()},
    }
    columns = headed("text text", "What", "Value")
    return PageTable("Versions", columns, list(facts.items()))
