"""What a report is made of: everything comes from files of the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from batch_screen.output.breakdown import Breakdown
from batch_screen.output.complaints import Complaints, read_complaints
from batch_screen.output.manifest import ListedFile
from batch_screen.output.parts import ERRORS, Layout
from batch_screen.output.summary import Summary


class Material(NamedTuple):
    """A run's figures; of one that was stopped there is a summary alone."""

    summary: Summary
    breakdown: Breakdown | None = None
    complaints: Complaints | None = None
    files: Sequence[ListedFile] = ()


def material_of(
    layout: Layout, summary: Summary, breakdown: Breakdown, files: Sequence[ListedFile]
) -> Material:
    """Of a complete run, whose written parts must be whole."""
    return Material(summary, breakdown, read_complaints(layout.parts(ERRORS)), files)
