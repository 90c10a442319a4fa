"""Puts the page together. Always less than 300 KB: every list in it has an end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from batch_screen.model import Endpoint
from batch_screen.reports.charts import ages_svg, pace_svgs
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
from batch_screen.storage.atomic import write_whole
from batch_screen.tables.breakdown import Breakdown
from batch_screen.tables.manifest import ListedFile
from batch_screen.tables.summary import Summary

if TYPE_CHECKING:
    from jinja2 import Template


_TEMPLATE = "report.html.jinja"


class Drawing(NamedTuple):
    """A heading and the drawings below it, which hold no text that is not escaped."""

    heading: str
    svgs: list[str]


def page(material: Material) -> bytes:
    """The report as one HTML file; the same for the same files."""
    return _template().render(_content(material)).encode()


@cache
def _template() -> Template:
    # Only who writes a report waits for the library.
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415

    loader = PackageLoader("batch_screen", "reports")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(_TEMPLATE)


def _content(material: Material) -> dict[str, Any]:
    """What the template names, section by section."""
    summary, breakdown = material.summary, material.breakdown
    complaints = material.complaints
    return {
        "summary": summary,
        "verdict": verdict_of(material),
        "what_is_recent": what_is_recent(summary),
        "sums": sums_of(summary),
        "lookups": lookups_table(summary),
        "signals": signal_tables(breakdown, summary.settings) if breakdown else [],
        "ages": list(_ages(material)),
        "risk_version": risk_version(summary),
        "pace": pace_svgs(summary.starts),
        "failures": failures_table(summary),
        "inconclusive": inconclusive(summary),
        "answers": answers_table(complaints, len(summary.endpoints)) if complaints else None,
        "rejects": rejects_table(summary, complaints),
        "starts": starts_table(summary.starts),
        "latency": latency_table(summary),
        "cost": cost_table(summary),
        "cost_note": cost_note(summary),
        "changes": changes_table(summary.changes) if summary.changes else None,
        "cohorts": _cohorts(material),
        "thresholds": thresholds_table(summary.thresholds) if summary.thresholds else None,
        "settings": settings_table(summary.settings),
        "files": files_table(material.files),
        "versions": versions_table(summary),
    }


def _ages(material: Material) -> Iterator[Drawing]:
    if material.breakdown is None:
        return
    for endpoint in Endpoint:
        if endpoint.answers_date and endpoint.value in material.breakdown.values:
            title = title_of(endpoint, material.summary.settings)
            svg = ages_svg(by_band(material.breakdown, endpoint), title)
            yield Drawing(f"{title} · {endpoint.value}", [svg])


def _cohorts(material: Material) -> Any:
    changes = material.summary.changes
    return cohorts_table(changes.cohorts) if changes and changes.cohorts else None


# Writes the page beside the run's other files.


def write_report(
    layout: Layout, summary: Summary, breakdown: Breakdown, files: Sequence[ListedFile]
) -> None:
    """report.html of a run whose other files are all there."""
    write_whole(layout.html, page(material_of(layout, summary, breakdown, files)))
