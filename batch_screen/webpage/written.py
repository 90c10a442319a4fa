"""Writes the page beside the run's other files."""

from __future__ import annotations

from collections.abc import Sequence

from batch_screen.files import write_whole
from batch_screen.output.breakdown import Breakdown
from batch_screen.output.manifest import ListedFile
from batch_screen.output.parts import Layout
from batch_screen.output.summary import Summary
from batch_screen.webpage.material import material_of
from batch_screen.webpage.page import page


def write_report(
    layout: Layout, summary: Summary, breakdown: Breakdown, files: Sequence[ListedFile]
) -> None:
    """report.html of a run whose other files are all there."""
    write_whole(layout.html, page(material_of(layout, summary, breakdown, files)))
