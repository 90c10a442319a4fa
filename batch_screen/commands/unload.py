"""Unload: takes runs out of a warehouse, as purge takes them out of the output folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import msgspec

from batch_screen.errors import ConfigurationError
from batch_screen.masking import safe_text
from batch_screen.runs.layout import is_run_id, layout_of_run, place_of, runs_at
from batch_screen.warehouse.address import open_target, parse
from batch_screen.warehouse.target import SCHEMA


class UnloadReport(msgspec.Struct, frozen=True):
    """The runs to take out, or taken out, and how many of their rows each table has or had.

    ``missing``: runs that were named and are not in the warehouse.
    """

    target: str
    schema: str
    removed: bool
    runs: tuple[str, ...]
    rows: Mapping[str, int]
    missing: tuple[str, ...] = ()


def unload(  # noqa: PLR0913 (as the command)
    to: str,
    *,
    run_ids: Sequence[str] = (),
    before: date | None = None,
    gone: Sequence[Path | str] = (),
    schema: str = SCHEMA,
    dry_run: bool = False,
    lock_seconds: float = 30.0,
) -> UnloadReport:
    """Deletes runs from the warehouse in one transaction, or, ``dry_run``, only counts them.

    Which: those named, those dated before a day, and those that none of the output folders in
    ``gone`` has any more. A run that is still there but not complete is not gone.
    """
    for run_id in run_ids:
        if not is_run_id(run_id):
            raise ConfigurationError("--run must be a run's id, such as 20261123-0123456789")
    # Of a run's own folder, the whole output folder: its other runs are there, too.
    left = {run_id for folder in gone for run_id in runs_at(place_of(Path(folder))[0])}
    address = parse(to)
    with open_target(address, schema, creates=False, lock_seconds=lock_seconds) as target:
        known = target.loaded()
        chosen = set(run_ids)
        if before is not None:
            limit = before.isoformat()
            chosen |= {each for each in known if layout_of_run(Path(), each).run_date < limit}
        if gone:
            chosen |= known.keys() - left
        runs = sorted(chosen)
        # Named ones even where the table runs lacks them: a lake may have rows of half a load.
        rows = target.unload(runs, dry_run=dry_run) if runs else {}
    missing = tuple(run_id for run_id in runs if run_id not in known)
    there = tuple(run_id for run_id in runs if run_id in known)
    removed = not dry_run and any(rows.values())
    return UnloadReport(address.shown, safe_text(schema), removed, there, rows, missing)
