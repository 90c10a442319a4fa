"""Advice on how to fix a list, by the rows it would save."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from batch_screen.model import ColumnKind
from batch_screen.numbers.rules import RejectReason
from batch_screen.profile.damage import Damage
from batch_screen.profile.facts import Damaged, FileFacts, Fix, RegionAdvice, Rejected


def fixes(
    rejects: Sequence[Rejected],
    files: Sequence[FileFacts],
    damage: Damaged,
    advice: RegionAdvice | None,
    undecided: int,
) -> list[Fix]:
    """Advice of its own, and the remedy of each reason, in order of the rows they would save.

    ``undecided`` counts the rejected rows whose reading hangs on the region.
    """
    own = [*_regions(files, advice, undecided), *_export(files, damage)]
    # A region that is found answers the question for one.
    is_found = any(file.likely_region_column for file in files) or (advice and advice.region)
    answered = {RejectReason.NO_REGION.value} if is_found else set()
    remedies = [Fix(r.rows, r.remedy) for r in rejects if r.remedy and r.reason not in answered]
    return sorted((*own, *remedies), key=lambda fix: -fix.rows)


def _regions(files: Sequence[FileFacts], advice: RegionAdvice | None, undecided: int) -> list[Fix]:
    found = []
    column = next((f.likely_region_column for f in files if f.likely_region_column), "")
    if column:
        found.append(
            Fix(
                undecided,
                f"Add --region-column {shlex.quote(column)}: its cells look like the regions of "
                "the numbers.",
            )
        )
    if advice and advice.region:
        saved = min(advice.rows, round(advice.rows * advice.accepted / advice.sampled))
        found.append(
            Fix(
                saved,
                f"Use --default-region {advice.region}: {advice.accepted} of {advice.sampled} "
                "different numbers without a country code are valid there.",
            )
        )
    return found


def _export(files: Sequence[FileFacts], damage: Damaged) -> list[Fix]:
    """Advice on the export as a whole; the rows it saves count under their reasons."""
    counts = {kind.name: kind.count for kind in damage.kinds}
    found = []
    if counts.get(Damage.LOST_ZERO) or damage.stored_as != ColumnKind.TEXT:
        found.append(Fix(0, "Export the column as text, so that + and leading zeros stay."))
    if counts.get(Damage.MISREAD_TEXT) or any(file.is_misread for file in files):
        found.append(
            Fix(
                0,
                "Export the list as UTF-8, or name its encoding with --encoding: letters were "
                "misread.",
            )
        )
    return found
