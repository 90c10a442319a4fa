"""Report: writes a run's report again from its files.

Needs no state and no key: a copy of the output folder elsewhere will do.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from batch_screen.config.paths import refuse_address
from batch_screen.erasure.journal import note_pending
from batch_screen.errors import InputError, OutputError
from batch_screen.model import Endpoint
from batch_screen.reports.page import page
from batch_screen.reports.verdict import Material, material_of, verdict_of
from batch_screen.runs.events import RunEvents
from batch_screen.runs.layout import RESULTS, Layout, run_at
from batch_screen.schema import number_column
from batch_screen.storage.atomic import check_file, sha256_of, write_atomically
from batch_screen.tables.breakdown import Breakdown, break_down
from batch_screen.tables.integrity import own_files, refuse_changed, whole_manifest
from batch_screen.tables.manifest import ListedFile, Manifest
from batch_screen.tables.summary import read_summary, says_stopped, strange_parts


class ReportResult(msgspec.Struct, frozen=True):
    """A written report; ``breakdown`` is None if the run was stopped."""

    run_id: str
    status: str
    verdict: str
    path: str
    bytes: int
    sha256: str
    breakdown: Breakdown | None


def report(
    folder: Path | str,
    run_id: str | None = None,
    path: Path | str | None = None,
    events: RunEvents | None = None,
) -> ReportResult:
    """Writes the report on the run named, or on the one latest.json names.

    ``folder`` is an output folder, or a run's own in it. Without a ``path`` it becomes the
    run's own ``report.html``. Raises ``InputError`` where there is no such run (66), where it
    did not come to an end, or where its files are not what it wrote (65).
    """
    if path is not None:
        refuse_address(path, "--write")
    layout, events = run_at(Path(folder), run_id), events or RunEvents()
    note_pending(layout.folder, events)
    target = layout.html if path is None else Path(path)
    if path is not None:
        layout.refuse_inside(target)
        check_file(target, "--write")
    manifest = None
    if layout.is_marked:  # else the run was stopped
        manifest = whole_manifest(layout)
    material = _material(layout, manifest, events)
    for strange in strange_parts(material.summary):
        raise InputError(
            f"run {layout.run_id} cannot be reported, {layout.summary}: {strange}; restore it from "
            "a copy, or use the version of batch-screen that wrote it"
        )
    content = page(material)
    if target != layout.html or not _is_kept(layout, manifest, content):
        write_atomically(target, content, mode=layout.file_mode)
    return ReportResult(
        layout.run_id,
        material.summary.status,
        verdict_of(material).sentence,
        str(target),
        len(content),
        hashlib.sha256(content).hexdigest(),
        material.breakdown,
    )


def _material(layout: Layout, manifest: Manifest | None, events: RunEvents) -> Material:
    if manifest is None:
        if not says_stopped(layout.summary):
            raise InputError(
                f"run {layout.run_id} was ended abruptly or is going on, so there is nothing to "
                "report yet; batch-screen status says whether it is running, and how to resume it"
            )
        return Material(read_summary(layout.summary))
    listed = [file for file in own_files(layout, manifest) if _place(layout, file) != layout.html]
    refuse_changed(layout, listed, events)  # a damaged page of Parquet may end the process
    summary = read_summary(layout.summary)
    endpoints = [endpoint for endpoint in Endpoint if endpoint.value in summary.endpoints]
    number = number_column(manifest.id_key)
    found = break_down(layout.parts(RESULTS), endpoints, number)
    return material_of(layout, summary, found, listed)


def _place(layout: Layout, file: ListedFile) -> Path:
    return layout.folder / file.path


def _is_kept(layout: Layout, manifest: Manifest | None, content: bytes) -> bool:
    """Whether the run's own report is as the manifest lists it.

    Raises ``OutputError`` if it would become another: then the run would not be whole.
    """
    if manifest is None:
        return False
    listed = next(f for f in manifest.files if _place(layout, f) == layout.html)
    if hashlib.sha256(content).hexdigest() != listed.sha256:
        raise OutputError(
            f"{layout.html} is listed in the run's manifest as another version of batch-screen "
            "wrote it; name another file for this one with --write"
        )
    return layout.html.exists() and sha256_of(layout.html) == listed.sha256
