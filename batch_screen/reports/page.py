"""Renders report.html and pace.svg. A page stays below 300 KB: every list in it is bounded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from batch_screen.model import Endpoint, Session
from batch_screen.reports import sections, signals
from batch_screen.reports.charts import FILE, NARROW, WIDE, ages_chart, pace_chart
from batch_screen.reports.verdict import Material, verdict_of, what_is_recent
from batch_screen.reports.words import title_of

if TYPE_CHECKING:
    from jinja2 import Environment


_UNPRINTABLE = dict.fromkeys({*range(0x20), *range(0x7F, 0xA0)} - {*map(ord, "\t\n")}, " ")
"""Control characters in foreign text, which markup does not escape."""


def page(material: Material) -> bytes:
    """The report as one HTML file, deterministic."""
    summary, breakdown, errors, files = material
    changes = summary.changes
    ages = {}
    for endpoint in Endpoint:
        if breakdown and endpoint.answers_date and endpoint.value in breakdown.values:
            title = title_of(endpoint, summary.settings)
            counts = signals.by_band(breakdown, endpoint)
            ages[f"{title} · {endpoint.value}"] = ages_chart(counts, title)
    content = {
        "summary": summary,
        "verdict": verdict_of(material),
        "what_is_recent": what_is_recent(summary),
        "sums": sections.sums_of(summary),
        "lookups": sections.lookups_table(summary),
        "signals": signals.signal_tables(breakdown, summary.settings) if breakdown else [],
        "ages": ages,
        "risk_version": sections.risk_version(summary),
        "pace": [pace_chart(summary.starts, plot) for plot in (WIDE, NARROW)],
        "failures": sections.failures_table(summary),
        "inconclusive": sections.inconclusive(summary),
        "answers": sections.answers_table(errors, len(summary.endpoints)) if errors else None,
        "rejects": sections.rejects_table(summary, errors),
        "starts": sections.starts_table(summary.starts),
        "contracts": sections.contracts_table(summary.starts),
        "latency": sections.latency_table(summary),
        "cost": sections.cost_table(summary),
        "cost_note": sections.cost_note(summary),
        "changes": signals.changes_table(changes) if changes else None,
        "cohorts": signals.cohorts_table(changes.cohorts) if changes and changes.cohorts else None,
        "thresholds": signals.thresholds_table(summary.thresholds) if summary.thresholds else None,
        "settings": sections.settings_table(summary.settings),
        "files": sections.files_table(files),
        "versions": sections.versions_table(summary),
    }
    text = templates().get_template("report.html.jinja").render(content)
    return text.translate(_UNPRINTABLE).encode()


def pace_svg(sessions: Sequence[Session]) -> bytes:
    """The pace chart as an SVG file that needs nothing else to be shown; less than 50 KB."""
    refused = sum(sum(session.pace.refused) for session in sessions)
    content = {"chart": pace_chart(sessions, FILE), "sessions": sessions, "refused": refused}
    return templates().get_template("pace.svg.jinja").render(content).encode()


@cache
def templates() -> Environment:
    """The page's templates; values are inserted as text, never as markup."""
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
