"""How the asking went: starts, latency, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence

from batch_screen.model import Session
from batch_screen.output.summary import Summary
from batch_screen.webpage.tables import Column, Kind, Table
from batch_screen.webpage.words import counted, duration, moment

_MOST_STARTS = 10
_PERCENTILES = ("p50", "p95", "p99")


def starts_table(starts: Sequence[Session]) -> Table:
    """The last starts, and what the others came to."""
    earlier, shown = starts[:-_MOST_STARTS], starts[-_MOST_STARTS:]
    if len(earlier) == 1:  # one alone is never summed up
        earlier, shown = [], starts
    rows = [
        (
            f"{number:,}",
            moment(start.started_at),
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
    columns = (
        Column("Start", Kind.TEXT),
        Column("Began", Kind.TEXT),
        Column("Asked for"),
        Column("Requests"),
        Column("Refused"),
        Column("Mean rate"),
    )
    return Table("Starts", columns, rows, is_wide=True, note=note.strip())


def latency_table(summary: Summary) -> Table:
    """How long answers took: the median, and what all but a few stayed below."""
    rows = [
        (name, *(f"{figures.latency_ms[p]:,.1f} ms" for p in _PERCENTILES))
        for name, figures in summary.endpoints.items()
        if figures.latency_ms
    ]
    columns = (
        Column("Endpoint", Kind.TEXT),
        Column("Half below"),
        Column("95 % below"),
        Column("99 % below"),
    )
    return Table("Latency of the answers", columns, rows)


def cost_table(summary: Summary) -> Table:
    """Requests and their cost by endpoint; refused ones are not billed."""
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
    columns = (
        Column("Endpoint", Kind.TEXT),
        Column("Requests"),
        Column("Refused"),
        Column("Billed at most"),
        Column(f"Cost, {summary.currency}"),
    )
    return Table("Cost by endpoint", columns, rows, has_total=True, is_wide=True)


def cost_note(summary: Summary) -> str:
    """What the figures of the cost leave out."""
    if not summary.cost:
        return "No prices are set: the contract's belong under [prices.per_request]."
    return "By the prices that were set; a request that was refused for the rate is not billed."
