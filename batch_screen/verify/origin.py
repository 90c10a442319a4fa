"""Verifies what manifest.json and the footers of Parquet files say of the run they are of.

A loader goes by the manifest, and a reader of a single file by its footer: sandbox answers must
never look like real ones in either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from batch_screen.runs.layout import FOOTER, RESULTS, Layout
from batch_screen.storage.parquet import metadata_of
from batch_screen.tables.integrity import Difference, VerifyCheck, rewrite
from batch_screen.tables.manifest import ListedFile, Manifest, head_of, kept_names
from batch_screen.tables.reader import DamagedPartError, columns_of, readable
from batch_screen.tables.summary import Summary

_OF_SUMMARY = (
    "supersedes",
    "version",
    "sandbox",
    "api",
    "since_run_id",
    "limit",
    "counts",
    "erased",
)
_PARQUET = ".parquet"


def origin_check(
    layout: Layout, manifest: Manifest, intact: Sequence[ListedFile], summary: Summary | None
) -> VerifyCheck:
    """The manifest's facts are the summary's, and each intact Parquet file names this run."""
    files = [file for file in intact if file.path.endswith(_PARQUET)]
    where = str(layout.manifest.relative_to(layout.folder))
    found = [Difference(where, what) for what in _manifest_faults(layout, manifest, files, summary)]
    written = Layout(layout.folder, layout.run_id, layout.run_date, sandbox=manifest.sandbox)
    for file in files:
        found += [Difference(file.path, what) for what in _footer_faults(written, file)]
    claim = "manifest and footers name the run, server and counts of summary.json"
    return VerifyCheck("origin", claim, 1 + len(files), tuple(found), rewrite(layout))


def _manifest_faults(
    layout: Layout, manifest: Manifest, files: Sequence[ListedFile], summary: Summary | None
) -> Iterator[str]:
    began, ended = manifest.started_at, manifest.completed_at
    if began is None or ended is None:
        yield "it does not say when the run began and was complete"
    elif began > ended:
        yield "the run was complete before it began"
    if summary is not None:  # else another check says so
        said = head_of(summary)
        for name in _OF_SUMMARY:
            if getattr(manifest, name) != getattr(said, name):
                yield f"its {name} and summary.json differ"
    for file in [file for file in files if file.table == RESULTS][:1]:
        try:
            columns = columns_of(layout.folder / file.path)
        except DamagedPartError:  # which another check says
            return
        if kept_names(manifest.kept_columns) != kept_names(columns):
            yield "its kept_columns and the columns of results differ"


def _footer_faults(layout: Layout, file: ListedFile) -> Iterator[str]:
    try:
        with readable():
            marks = metadata_of(layout.folder / file.path).metadata or {}
    except DamagedPartError:  # which another check says
        return
    footer = layout.footer.items()
    wrong = [k.removeprefix(FOOTER) for k, mark in footer if marks.get(k.encode()) != mark.encode()]
    if wrong:
        yield f"its footer and the manifest differ: {', '.join(wrong)}"
