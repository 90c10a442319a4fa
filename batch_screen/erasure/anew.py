"""A complete run written anew without some people: new parts, reports and manifest.

They grow where no reader looks and take the place of the old ones in one step, as kept columns do:
whenever the process is killed, the run is whole and signed, with the people or without them.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import polars as pl
from msgspec.structs import replace

from batch_screen import __version__
from batch_screen.config.settings import Prices
from batch_screen.erasure.people import People
from batch_screen.erasure.search import RunHolding
from batch_screen.model import ColumnRows, Endpoint, Erasure
from batch_screen.reports.page import page
from batch_screen.reports.verdict import Material
from batch_screen.runs.layout import (
    CHANGES,
    DATA_FOLDERS,
    ERRORS,
    LOOKUPS,
    RESULTS,
    Layout,
    NextWriting,
)
from batch_screen.schema import ERRORS as ERROR_COLUMNS
from batch_screen.schema import number_column
from batch_screen.storage.atomic import atomic_write, sha256_of, write_atomically
from batch_screen.storage.lock import alone
from batch_screen.storage.parquet import open_parquet, row_groups
from batch_screen.storage.partition import RowGroupWriter
from batch_screen.storage.prefetch import ordered_map
from batch_screen.storage.reading import MOST_BYTES, open_regular
from batch_screen.tables import breakdown
from batch_screen.tables.counts import NO_LOOKUPS, count_lookups, count_saved, scans_of
from batch_screen.tables.coverage import Changes, count_contradictions, count_coverage
from batch_screen.tables.errors import summarise_errors, write_guarded_csv
from batch_screen.tables.integrity import (
    manifest_check,
    marker_check,
    own_files,
    part_number,
    refuse_changed,
    refuse_differing,
)
from batch_screen.tables.manifest import (
    ListedFile,
    ManifestHead,
    head_of,
    listed_file,
    marker_content,
    write_manifest,
)
from batch_screen.tables.results import count_risk
from batch_screen.tables.summary import Rows, Summary, read_summary, write_summary

_ARROW = b"ARROW:schema"


class _Taken(NamedTuple):
    """The rows that a part lost, and how many kept cells of its other rows were emptied."""

    rows: pl.DataFrame
    cells: int = 0


class _Writing(NamedTuple):
    """A run as it is, and as it grows: its parts by table, and what was taken from them."""

    run: RunHolding
    people: People
    layout: Layout
    anew: NextWriting
    parts: dict[str, list[Path]]
    taken: dict[str, list[_Taken]]

    def without(self, source: Path, target: Path) -> _Taken:
        column = number_column(self.run.manifest.id_key)
        return _write_without(source, target, self.anew, self.run.keys, column, self.people)


def refuse_damaged(run: RunHolding) -> None:
    """Raises ``InputError`` where the run is not what was written: its new manifest vouches for it.

    Every byte is read, also of the parts that stay.
    """
    layout, manifest = run.layout, run.manifest
    listed = own_files(layout, manifest)
    refuse_differing(layout, marker_check(layout), manifest_check(layout, manifest))
    refuse_changed(layout, listed)


def write_without(
    run: RunHolding, people: People, at: datetime, compared: int, on_file: Callable[[], None]
) -> Layout:
    """Writes the run without them beside the run as it is, then exchanges the two.

    ``compared``: how many of them its changes compared. The run was looked at: ``refuse_damaged``.
    Raises ``RunLockedError`` where it is being loaded. What is left of the old writing is for the
    caller to remove: ``settle``.
    """
    own, manifest = run.layout, run.manifest
    layout = Layout(own.folder, own.run_id, own.run_date, own.mode, sandbox=manifest.sandbox)
    listed = own_files(layout, manifest)
    anew = NextWriting(layout, DATA_FOLDERS)
    anew.made(anew.run)
    parts: dict[str, list[Path]] = {table: [] for table in DATA_FOLDERS}
    taken: dict[str, list[_Taken]] = {table: [] for table in DATA_FOLDERS}
    writing = _Writing(run, people, layout, anew, parts, taken)
    entries = _write_parts(writing, listed, on_file)
    cells = sum(each.cells for each in taken[RESULTS])
    rows = {table: sum(each.rows.height for each in taken[table]) for table in DATA_FOLDERS}
    summary = _recounted(
        read_summary(layout.summary), writing, Erasure(at, rows, cells), compared, run.keys.len()
    )
    entries += _write_reports(writing, summary, entries)
    as_it_was = {name: getattr(manifest, name) for name in ManifestHead.__struct_fields__}
    counted = head_of(summary)
    # It was complete when it was: of two runs of a date the later one stays the current one.
    head = replace(
        ManifestHead(**as_it_was),
        version=__version__,
        counts=counted.counts,
        erased=counted.erased,
    )
    write_manifest(anew, entries, head)
    write_atomically(
        anew.marker, marker_content(sha256_of(anew.manifest, MOST_BYTES)), mode=anew.file_mode
    )
    with alone(layout.manifest, f"run {layout.run_id}"):  # a load or an upload may read it
        anew.publish()
    return layout


def _write_parts(
    writing: _Writing, listed: Sequence[ListedFile], on_file: Callable[[], None]
) -> list[ListedFile]:
    """Writes the parts that hold them; the manifest's entries of these and of all others."""
    anew = writing.anew

    def write(file: ListedFile) -> tuple[ListedFile, Path, _Taken | None]:
        path = writing.layout.folder / file.path
        if file.path not in writing.run.parts:
            return file, path, None
        target = anew.part(str(file.table), part_number(file) or 0)
        anew.made(target.parent)
        taken = writing.without(path, target)
        on_file()
        return file, target, taken

    entries = []
    with ordered_map(write, [file for file in listed if file.table is not None]) as written:
        for file, path, taken in written:
            table = str(file.table)
            writing.parts[table].append(path)
            if taken is None:
                entries.append(file)
            else:
                writing.taken[table].append(taken)
                entries.append(listed_file(anew, path, table))
    return entries


def _write_reports(
    writing: _Writing, summary: Summary, of_parts: Sequence[ListedFile]
) -> list[ListedFile]:
    """Writes the files beside the tables; the manifest's entries of them, but for the page."""
    layout, anew, parts = writing.layout, writing.anew, writing.parts
    write_summary(anew.summary, summary, anew.file_mode)
    if summary.erased[-1].rows[ERRORS]:
        with atomic_write(anew.errors_csv, mode=anew.file_mode) as file:
            rows = chain.from_iterable(map(row_groups, parts[ERRORS]))
            write_guarded_csv(file, ERROR_COLUMNS, rows)
    else:
        _copy(layout.errors_csv, anew.errors_csv, anew.file_mode)
    for source, target in ((layout.pace, anew.pace), (layout.schema, anew.schema)):
        _copy(source, target, anew.file_mode)
    if layout.in_order.exists():
        writing.without(layout.in_order, anew.in_order)
    entries = [listed_file(anew, path, None) for path in anew.reports if path != anew.html]
    asked = [endpoint for endpoint in Endpoint if endpoint.value in summary.endpoints]
    column = number_column(writing.run.manifest.id_key)
    found = breakdown.break_down(parts[RESULTS], asked, column)
    errors = summarise_errors(parts[ERRORS])
    content = page(Material(summary, found, errors, [*of_parts, *entries]))
    write_atomically(anew.html, content, mode=anew.file_mode)
    return entries


def _write_without(  # noqa: PLR0913, PLR0917 (what is written, from what, without whom)
    source: Path, target: Path, anew: Layout, keys: pl.Series, column: str, people: People
) -> _Taken:
    """Writes the file without their rows, in as many row groups as it has: these are shards."""
    rows, cells = list[pl.DataFrame](), 0
    with open_parquet(source) as file:
        marks = {
            key.decode(): mark.decode()
            for key, mark in (file.metadata.metadata or {}).items()
            if key != _ARROW
        }
        first = file.metadata.row_group(0).column(0) if file.num_row_groups else None
        how = {"compression": first.compression.lower() if first else "zstd"}
        with (
            atomic_write(target, staging=anew.run, mode=anew.file_mode) as opened,
            RowGroupWriter(target, opened, how, marks) as writer,
        ):
            for group in range(file.num_row_groups):
                frame = pl.DataFrame(file.read_row_group(group))
                is_theirs = frame[column].is_in(keys.implode()).fill_null(value=False)
                rows.append(frame.filter(is_theirs))
                left = frame.filter(~is_theirs)
                for name, where in people.in_cells(left).items():
                    cells += int(where.sum())
                    emptied = pl.when(~where).then(pl.col(name)).alias(name)
                    left = left.with_columns(emptied)
                writer.add(left)
            if not file.num_row_groups:
                writer.add(pl.DataFrame(file.schema_arrow.empty_table()))
    return _Taken(pl.concat(rows) if rows else pl.DataFrame(), cells)


def write_vault_without(path: Path, people: People) -> None:
    """Writes a vault's file anew without them, row group by row group: these are shards."""
    with (
        open_parquet(path) as file,
        atomic_write(path) as opened,
        RowGroupWriter(path, opened) as writer,
    ):
        for group in range(file.num_row_groups):
            frame = pl.DataFrame(file.read_row_group(group))
            writer.add(frame.filter(~frame["e164"].is_in(people.e164.implode())))


def _recounted(
    summary: Summary, writing: _Writing, erasure: Erasure, compared: int, numbers: int
) -> Summary:
    """The figures of the rows that are left; what was read, paid and judged stays as it was."""
    parts, taken = writing.parts, writing.taken
    counted = count_lookups(scans_of(parts[LOOKUPS]), Prices())
    endpoints = {
        name: replace(counted.get(name, NO_LOOKUPS), cost=figures.cost)
        for name, figures in summary.endpoints.items()
    }
    named = summary.settings.get("screening.endpoints")
    asked = [Endpoint(name) for name in named] if isinstance(named, list) else []
    saved = count_saved(counted, asked, Prices())
    of_lookups = scans_of(parts[LOOKUPS])
    return replace(
        summary,
        version=__version__,
        rows=_rows(summary.rows, taken[RESULTS], numbers),
        endpoints=endpoints,
        saved=replace(saved, cost=summary.saved.cost),
        changes=_changes(summary.changes, taken[CHANGES], compared, numbers),
        risk=count_risk(scans_of(parts[RESULTS])),
        coverage=count_coverage(of_lookups) if summary.coverage else {},
        contradictions=count_contradictions(of_lookups),
        erased=[*summary.erased, erasure],
    )


def _rows(rows: Rows, taken: Sequence[_Taken], numbers: int) -> Rows:
    names = Counter[str]()
    for each in taken:
        if each.rows.height:
            names.update((name or "").casefold() for name in each.rows["phone_column"])
    columns = {}
    for name, column in rows.by_phone_column.items():
        gone = names.pop(name.casefold(), 0)  # once, of columns that differ by case alone
        columns[name] = column + ColumnRows(-gone, -gone, 0, 0)
    accepted = rows.accepted - sum(each.rows.height for each in taken)
    unique = rows.unique_numbers - numbers
    return replace(
        rows,
        accepted=accepted,
        unique_numbers=unique,
        duplicates=accepted - unique,
        by_phone_column=columns,
    )


def _changes(
    changes: Changes | None, taken: Sequence[_Taken], compared: int, numbers: int
) -> Changes | None:
    """The changes without theirs; numbers that were gone already stay counted."""
    if changes is None:
        return None
    gone = Counter[tuple[str, str]]()
    for each in taken:
        if each.rows.height:
            for endpoint, change, rows in each.rows.group_by("endpoint", "change").len().rows():
                gone[endpoint, change] += rows
    return replace(
        changes,
        endpoints={
            endpoint: {change: n - gone[endpoint, change] for change, n in of_endpoint.items()}
            for endpoint, of_endpoint in changes.endpoints.items()
        },
        numbers_compared=changes.numbers_compared - compared,
        numbers_new=changes.numbers_new - (numbers - compared),
    )


def _copy(source: Path, target: Path, mode: int) -> None:
    with open_regular(source) as old, atomic_write(target, mode=mode) as new:
        shutil.copyfileobj(old, new)
