"""What a report is made of: everything comes from files of the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from batch_screen.model import Endpoint
from batch_screen.output.breakdown import Breakdown, break_down
from batch_screen.output.complaints import Complaints, read_complaints
from batch_screen.output.manifest import ListedFile
from batch_screen.output.parts import ERRORS, RESULTS, Layout
from batch_screen.output.summary import Summary


class Material(NamedTuple):
    """A run's figures; of one that was stopped there is a summary alone."""

    summary: Summary
    breakdown: Breakdown | None = None
    complaints: Complaints | None = None
    files: Sequence[ListedFile] = ()


def material_of(layout: Layout, summary: Summary, files: Sequence[ListedFile]) -> Material:
    """Counted from the run's written parts, which must be whole."""
    endpoints = [endpoint for endpoint in Endpoint if endpoint.value in summary.endpoints]
    breakdown = break_down(layout.parts(RESULTS), endpoints)
    return Material(summary, breakdown, read_complaints(layout.parts(ERRORS)), files)
