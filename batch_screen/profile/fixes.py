"""Advice on how to fix a list, by the rows it would save."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from batch_screen.model import ColumnKind
from batch_screen.numbers.rules import RejectReason
from batch_screen.profile.damage import Damage
from batch_screen.profile.facts import (
    Damaged,
    DigitsAdvice,
    FileFacts,
    Fix,
    RegionAdvice,
    Rejected,
)


def fixes(  # noqa: PLR0913, PLR0917 (what was found, and what follows from it)
    rejects: Sequence[Rejected],
    files: Sequence[FileFacts],
    damage: Damaged,
    advice: RegionAdvice | None,
    digits: DigitsAdvice | None,
    undecided: int,
) -> list[Fix]:
    """Advice of its own, and the remedy of each reason, in order of the rows they would save.

    ``undecided`` counts the rejected rows whose reading hangs on the region.
    """
    own = []
    column = next((file.likely_region_column for file in files if file.likely_region_column), "")
    if column:
        option = f"--region-column {shlex.quote(column)}"
        add = f"Add {option}: its cells look like the regions of the numbers."
        own.append(Fix(undecided, add))
    if advice and advice.region:
        saved = min(advice.rows, round(advice.rows * advice.accepted / advice.sampled))
        valid = f"{advice.accepted} of {advice.sampled} different numbers without a country code"
        own.append(Fix(saved, f"Use --default-region {advice.region}: {valid} are valid there."))
    if digits:
        saved = min(digits.rows, round(digits.rows * digits.valid / digits.sampled))
        valid = f"{digits.valid} of {digits.sampled} sampled cells are valid numbers"
        own.append(Fix(saved, f"Use --digits international: {valid} with their own country code."))
    # A region that is found answers the question for one.
    answered = RejectReason.NO_REGION.value if own else ""
    # Advice on the export as a whole: the rows it saves count under their reasons.
    kinds = {kind.name for kind in damage.kinds}
    if Damage.LOST_ZERO in kinds or damage.stored_as != ColumnKind.TEXT:
        own.append(Fix(0, "Export the column as text, so that + and leading zeros stay."))
    if Damage.MISREAD_TEXT in kinds or any(file.is_misread for file in files):
        remedy = "Export the list as UTF-8, or name its encoding with --encoding"
        own.append(Fix(0, f"{remedy}: letters were misread."))
    remedies = [Fix(r.rows, r.remedy) for r in rejects if r.remedy and r.reason != answered]
    return sorted((*own, *remedies), key=lambda fix: -fix.rows)
