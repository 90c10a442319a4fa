"""Renders report.html and pace.svg. A page stays below 300 KB: every list in it is bounded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from batch_screen.model import Endpoint, Session
from batch_screen.reports.charts import (
    FILE,
    NARROW,
    WIDE,
    AgesChart,
    ages_chart,
    pace_chart,
)
from batch_screen.reports.sections import (
    answers_table,
    cost_note,
    cost_table,
    failures_table,
    files_table,
    inconclusive,
    latency_table,
    lookups_table,
    rejects_table,
    risk_version,
    settings_table,
    starts_table,
    sums_of,
    versions_table,
)
from batch_screen.reports.signals import (
    by_band,
    changes_table,
    cohorts_table,
    signal_tables,
    thresholds_table,
)
from batch_screen.reports.verdict import Material, material_of, verdict_of, what_is_recent
from batch_screen.reports.words import title_of
from batch_screen.runs.layout import Layout
from batch_screen.storage.atomic import write_atomically
from batch_screen.tables.breakdown import Breakdown
from batch_screen.tables.manifest import ListedFile
from batch_screen.tables.summary import Summary

if TYPE_CHECKING:
    from jinja2 import Environment


def page(material: Material) -> bytes:
    """The report as one HTML file, deterministic."""
    return templates().get_template("report.html.jinja").render(_content(material)).encode()


def pace_svg(sessions: Sequence[Session]) -> bytes:
    """The pace chart as an SVG file that needs nothing else to be shown; less than 50 KB."""
    refused = sum(sum(session.pace.refused) for session in sessions)
    content = {"chart": pace_chart(sessions, FILE), "sessions": sessions, "refused": refused}
    return templates().get_template("pace.svg.jinja").render(content).encode()


@cache
def templates() -> Environment:
    """The templates beside this file; what they are given is text, never markup."""
    # Only a run that ends or a report needs the library: it would delay the start of any other.
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415

    return Environment(
        loader=PackageLoader("batch_screen", "reports"),
        autoescape=True,
        undefined=StrictUndefined,
        # Of numbers only places in drawings are floats: a tenth of a pixel is enough.
        finalize=lambda value: f"{value:.1f}" if isinstance(value, float) else value,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _content(material: Material) -> dict[str, Any]:
    """The template's context, section by section."""
    summary, breakdown = material.summary, material.breakdown
    errors, changes = material.errors, summary.changes
    return {
        "summary": summary,
        "verdict": verdict_of(material),
        "what_is_recent": what_is_recent(summary),
        "sums": sums_of(summary),
        "lookups": lookups_table(summary),
        "signals": signal_tables(breakdown, summary.settings) if breakdown else [],
        "ages": dict(_ages(material)),
        "risk_version": risk_version(summary),
        "pace": [pace_chart(summary.starts, plot) for plot in (WIDE, NARROW)],
        "failures": failures_table(summary),
        "inconclusive": inconclusive(summary),
        "answers": answers_table(errors, len(summary.endpoints)) if errors else None,
        "rejects": rejects_table(summary, errors),
        "starts": starts_table(summary.starts),
        "latency": latency_table(summary),
        "cost": cost_table(summary),
        "cost_note": cost_note(summary),
        "changes": changes_table(changes) if changes else None,
        "cohorts": cohorts_table(changes.cohorts) if changes and changes.cohorts else None,
        "thresholds": thresholds_table(summary.thresholds) if summary.thresholds else None,
        "settings": settings_table(summary.settings),
        "files": files_table(material.files),
        "versions": versions_table(summary),
    }


def _ages(material: Material) -> Iterator[tuple[str, AgesChart]]:
    """Heading and chart of each endpoint that was asked for dates."""
    if material.breakdown is None:
        return
    for endpoint in Endpoint:
        if endpoint.answers_date and endpoint.value in material.breakdown.values:
            title = title_of(endpoint, material.summary.settings)
            counts = by_band(material.breakdown, endpoint)
            yield f"{title} · {endpoint.value}", ages_chart(counts, title)


def write_report(
    layout: Layout, summary: Summary, breakdown: Breakdown, files: Sequence[ListedFile]
) -> None:
    """report.html of a run whose other files are all there."""
    write_atomically(layout.html, page(material_of(layout, summary, breakdown, files)))
