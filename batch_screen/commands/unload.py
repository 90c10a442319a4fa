"""Unload: takes runs out of a warehouse, as purge takes them out of the output folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import msgspec

from batch_screen.commands.purge import outputs
from batch_screen.commands.runs import list_purged
from batch_screen.errors import ConfigurationError
from batch_screen.masking import safe_text
from batch_screen.runs.layout import is_run_id, layout_of_run, place_of, run_date_of
from batch_screen.warehouse.address import open_target, parse
from batch_screen.warehouse.target import SCHEMA


class UnloadReport(msgspec.Struct, frozen=True):
    """The runs to take out, or taken out, and how many of their rows each table has or had.

    ``missing``: runs that were named and are not in the warehouse. ``differing``: purged ones that
    it has with another manifest than the one that went; they stay.
    """

    target: str
    schema: str
    removed: bool
    runs: tuple[str, ...]
    rows: Mapping[str, int]
    missing: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()


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

    Which: those named, those dated before a day, and those that purge has removed from one of the
    output folders in ``gone`` by its own record, and that none of them has again. Raises
    ``InputError`` where such a folder has neither runs nor the record, so that one that is not
    mounted empties no warehouse.
    """
    for run_id in run_ids:
        if not is_run_id(run_id):
            raise ConfigurationError("--run must be a run's id, such as 20261123-0123456789")
    purged = _purged(gone)
    address = parse(to)
    with open_target(address, schema, creates=False, lock_seconds=lock_seconds) as target:
        known = target.loaded()
        chosen = set(run_ids)
        if before is not None:
            limit = before.isoformat()
            chosen |= {each for each in known if run_date_of(each) < limit}
        named = known.keys() & purged.keys()
        chosen |= {each for each in named if known[each].manifest_sha256 in purged[each]}
        runs = sorted(chosen)
        # Named ones even where the table runs lacks them: a lake may have rows of half a load.
        rows = target.unload(runs, dry_run=dry_run) if runs else {}
    missing = tuple(run_id for run_id in runs if run_id not in known)
    there = tuple(run_id for run_id in runs if run_id in known)
    removed = not dry_run and any(rows.values())
    differing = tuple(sorted(named - chosen))
    return UnloadReport(address.shown, safe_text(schema), removed, there, rows, missing, differing)


def _purged(folders: Sequence[Path | str]) -> dict[str, set[str | None]]:
    """The manifests of each run that purge has removed from these, and that none has again."""
    purged: dict[str, set[str | None]] = {}
    for folder in folders:
        for run in list_purged(folder):
            purged.setdefault(run.run_id, set()).add(run.manifest_sha256)
    outs = [place_of(Path(folder))[0] for folder in folders]
    # With files there, a purge was killed half-way, or the same list was asked again.
    is_left = {each: any(outputs(layout_of_run(out, each))[0] for out in outs) for each in purged}
    return {each: manifests for each, manifests in purged.items() if not is_left[each]}
