"""Validate: re-reads a run's files and checks that they are whole and consistent.

Writes nothing but scratch files in the system's temporary folder, needs no state and no key: a
copy of the output folder elsewhere will do.
"""

from __future__ import annotations

import os
from pathlib import Path

from msgspec.structs import replace

from batch_screen.config.paths import is_address
from batch_screen.erasure.journal import note_pending
from batch_screen.masking import safe_text
from batch_screen.runs.events import RunEvents
from batch_screen.runs.layout import (
    CHANGES,
    Layout,
    is_run_id,
    layout_of_run,
    place_of,
    run_at,
    runs_at,
)
from batch_screen.schema import READ_VERSIONS, SCHEMA_VERSION
from batch_screen.tables.integrity import (
    Validation,
    VerifyCheck,
    files_check,
    latest_check,
    manifest_check,
    marker_check,
    own_files,
    private_check,
    strangers_check,
)
from batch_screen.tables.manifest import Manifest, read_manifest
from batch_screen.verify.changes import changes_check
from batch_screen.verify.fetch import BucketOutput
from batch_screen.verify.origin import origin_check
from batch_screen.verify.recount import Recount, schema_check
from batch_screen.verify.totals import summary_of, sums_checks


def validate(
    folder: Path | str,
    run_id: str | None = None,
    events: RunEvents | None = None,
    *,
    copied: bool = False,
) -> Validation:
    """Every check of the run named, or of the one latest.json names.

    ``folder`` is an output folder, or a run's own in it (``OUT/runs/<run_id>``), or the address to
    which one was uploaded, from where the run is copied into a scratch folder. ``copied``: its
    modes are not those of the run, so who may read the files is not checked.
    Raises ``InputError`` where there is no such folder or run; whatever differs is no exception.
    """
    events = events or RunEvents()
    if is_address(folder) and not Path(folder).is_dir():  # a folder may have any name
        return _uploaded(BucketOutput(str(folder)), run_id, events)
    layout = _named(Path(folder), run_id)
    note_pending(layout.folder, events)
    checks = tuple(_checks(layout, events, copied=copied))
    return Validation(layout.run_id, safe_text(str(layout.folder)), checks)


def _named(folder: Path, run_id: str | None) -> Layout:
    """The run to look at; whatever lies under its name, for that is what a check says."""
    out, _ = place_of(folder)
    if run_id and is_run_id(run_id) and os.path.lexists(out / "runs" / run_id):
        return layout_of_run(out, run_id)
    return run_at(folder, run_id)


def runs_in(folder: Path | str) -> list[str]:
    """Every run that began to write into the output folder, oldest date first.

    Raises ``InputError`` if there is none.
    """
    if is_address(folder) and not Path(folder).is_dir():
        return BucketOutput(str(folder)).runs()
    return runs_at(Path(folder))


def _uploaded(out: BucketOutput, run_id: str | None, events: RunEvents) -> Validation:
    """Every check of a run in a bucket, which has no modes."""
    with out.fetched(run_id, events) as layout:
        checks = _checks(layout, events, copied=True)
    remedy = (
        "remove these objects there, and send them again: batch-screen upload OUT --run "
        f"{layout.run_id} --to {out.shown}"
    )
    again = tuple(
        replace(check, remedy=remedy) if check.name not in ("latest", "strangers") else check
        for check in checks
    )
    return Validation(layout.run_id, out.shown, again)


def _checks(layout: Layout, events: RunEvents, *, copied: bool) -> list[VerifyCheck]:
    checks = [marker_check(layout)]
    if not layout.is_marked:  # nothing is promised of a run that did not come to its end
        return checks
    manifest = read_manifest(layout)
    checks += [latest_check(layout), manifest_check(layout, manifest)]
    if manifest is None or manifest.schema_version not in READ_VERSIONS:
        return checks
    return [*checks, *_listed_checks(layout, manifest, events, copied=copied)]


def _listed_checks(
    layout: Layout, manifest: Manifest, events: RunEvents, *, copied: bool
) -> list[VerifyCheck]:
    """The checks that need the manifest."""
    progress = events.progress
    listed = own_files(layout, manifest)
    progress.stage("hashing", total=len(listed))
    files, intact = files_check(layout, listed, lambda: progress.advance(1))
    schema, usable = schema_check(layout, manifest, intact)
    summary, origin = summary_of(layout), []
    if manifest.schema_version >= SCHEMA_VERSION:  # earlier ones say next to nothing of the run
        origin = [origin_check(layout, manifest, intact, summary)]
    recounted = Recount(layout, listed, manifest.id_key)
    progress.stage("comparing", total=recounted.parts)
    for _ in recounted.read(usable, manifest.shards):
        progress.advance(1)
    lacking = {file for file in listed if file.table == CHANGES} - set(usable)
    unreadable = recounted.unchecked
    if lacking:
        unreadable = f"{len(lacking)} of the parts of changes differ, see above"
    return [
        files,
        strangers_check(layout, manifest),
        private_check(layout, manifest, copied=copied),
        schema,
        *origin,
        *recounted.checks,
        *sums_checks(layout, recounted),
        changes_check(layout, usable, summary, unreadable),
    ]
