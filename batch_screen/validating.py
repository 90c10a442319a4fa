"""Validate: re-reads what a run left behind and says whether it is whole.

Writes nothing, needs no state and no key: a copy of the output folder elsewhere will do.
"""

from __future__ import annotations

from pathlib import Path

from batch_screen.errors import InputError
from batch_screen.exit_codes import ExitCode
from batch_screen.output.findings import Check, Validation
from batch_screen.output.located import located, place
from batch_screen.output.parts import Layout
from batch_screen.output.recount import Recount
from batch_screen.output.schemas import schema_check
from batch_screen.output.sums import sums_checks
from batch_screen.output.validate import (
    Manifest,
    files_check,
    is_run_id,
    latest_check,
    manifest_check,
    marker_check,
    own_files,
    private_check,
    read_manifest,
    strangers_check,
)
from batch_screen.plan import MAX_SHARDS, shard_of
from batch_screen.schema import SCHEMA_VERSION
from batch_screen.watch import Watch


def validate(
    folder: Path | str, run_id: str | None = None, watch: Watch | None = None
) -> Validation:
    """Every check of one run: the one named, or the one latest.json names.

    ``folder`` is an output folder, or a run's own in it (``OUT/runs/<run_id>``). Raises
    ``InputError`` where there is no such folder or run; whatever differs is no exception.
    """
    layout = located(Path(folder), run_id)
    checks = tuple(_checks(layout, watch or Watch()))
    return Validation(layout.run_id, str(layout.folder), checks)


def runs_in(folder: Path | str) -> list[str]:
    """Every run that began to write into the output folder, oldest date first.

    Raises ``InputError`` if there is none.
    """
    out, own = place(Path(folder))
    found = sorted(path.name for path in (out / "runs").glob("*") if is_run_id(path.name))
    if not found:
        raise InputError(
            f"{folder}: no run has written there; check the path", exit_code=ExitCode.NO_INPUT
        )
    return [own] if own else found


def _checks(layout: Layout, watch: Watch) -> list[Check]:
    checks = [marker_check(layout)]
    if not layout.marker.exists():  # nothing is promised of a run that did not come to its end
        return checks
    manifest = read_manifest(layout)
    checks += [latest_check(layout), manifest_check(layout, manifest)]
    if manifest is None or manifest.schema_version != SCHEMA_VERSION:
        return checks
    return [*checks, *_listed_checks(layout, manifest, watch)]


def _listed_checks(layout: Layout, manifest: Manifest, watch: Watch) -> list[Check]:
    """What can be said only where a manifest says what there should be."""
    progress = watch.progress
    listed = own_files(layout, manifest)
    progress.stage("hashing", total=len(listed))
    files, intact = files_check(layout, listed, lambda: progress.advance(1))
    schema, usable = schema_check(layout, [file for file in intact if file.table is not None])
    recounted = Recount(layout, listed)
    progress.stage("comparing", total=recounted.parts)
    for _ in recounted.read(usable, shard_of, MAX_SHARDS):
        progress.advance(1)
    return [
        files,
        strangers_check(layout, manifest),
        private_check(layout, manifest),
        schema,
        *recounted.checks,
        *sums_checks(layout, recounted),
    ]
