"""Upload: a complete run into a bucket, whose readers see it whole or not at all.

Parts first, ``_SUCCESS`` and latest.json last. What is there already is not sent again, so the
same command goes on where one was stopped. State is never uploaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from batch_screen.config.paths import bucket_of, shown_address
from batch_screen.erasure.journal import note_pending
from batch_screen.errors import ConfigurationError, InputError, OutputError
from batch_screen.runs.events import RunEvents
from batch_screen.runs.layout import DATA_FOLDERS, Layout, latest_run, run_at
from batch_screen.storage.atomic import translated
from batch_screen.storage.objects import ObjectStore, StoredObject
from batch_screen.storage.reading import read_bytes
from batch_screen.tables.integrity import (
    held,
    own_files,
    refuse_changed,
    run_of_part,
    whole_manifest,
)
from batch_screen.tables.manifest import ListedFile, latest_content, read_manifest


class UploadResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """An uploaded run: its objects and their bytes, and how many of them were sent now.

    ``removed`` counts parts of an earlier version of the same run. ``id_key`` names the key whose
    ids stand for numbers, if they do.
    """

    run_id: str
    to: str
    objects: int
    bytes: int
    sent: int
    removed: int
    id_key: str | None = None


class _Item(NamedTuple):
    """An object to be: its key, the file or the bytes that it gets, their size and digest."""

    key: str
    content: Path | bytes
    bytes: int
    sha256: str


def upload(
    folder: Path | str, to: str, run_id: str | None = None, events: RunEvents | None = None
) -> UploadResult:
    """Uploads the run named, or the one latest.json names, to the address of a bucket.

    ``folder`` is an output folder, or a run's own in it. Raises ``InputError`` where there is no
    such run (66), or it is not complete or not what was written (65), and ``OutputError`` where
    the bucket cannot be written (73) or reached (69): then what was sent is kept there.
    """
    place = bucket_of(to)
    if place is None:
        raise ConfigurationError(
            f"--to {shown_address(to)} names no bucket; write s3://BUCKET/PREFIX, gs://… or az://…"
        )
    root, prefix = place[0], f"{place[1].strip('/')}/".lstrip("/")
    layout, events = run_at(Path(folder), run_id), events or RunEvents()
    note_pending(layout.folder, events)
    if not layout.is_marked:
        raise InputError(
            f"run {layout.run_id} is not complete, so it is not uploaded; start the same command "
            f"with --run-date {layout.run_date}, if it is not running: it goes on from there"
        )
    store = ObjectStore(root, shown_address(root), OutputError)
    # Held against purge: a part that goes while the others are sent would be found too late.
    with held(layout):
        try:
            return _uploaded(layout, store, root, prefix, events)
        except OutputError as error:
            raise OutputError(
                f"{error} (run {layout.run_id} is complete here, and the same command goes on)",
                exit_code=error.exit_code,
            ) from None


def _uploaded(
    layout: Layout, store: ObjectStore, root: str, prefix: str, events: RunEvents
) -> UploadResult:
    listed = _whole_files(layout, events)
    files = [_Item(prefix + f.path, layout.folder / f.path, f.bytes, f.sha256) for f in listed]
    for name, text in _lists_of_parts(listed, f"{root}/{prefix}"):
        files.append(_of_bytes(f"{prefix}runs/{layout.run_id}/{name}", text.encode()))
    with translated("read", layout.run):
        manifest, marker = (
            _of_bytes(prefix + str(path.relative_to(layout.folder)), read_bytes(path))
            for path in (layout.manifest, layout.marker)
        )
    latest = _of_bytes(f"{prefix}latest.json", latest_content(layout, manifest.sha256))
    items = [*files, manifest, marker]
    # A run written last names itself; an older one does only where nothing is named yet.
    if latest_run(layout.folder) == layout.run_id or store.head(latest.key) is None:
        items.append(latest)

    events.progress.stage("uploading", total=len(items))
    before = store.head(marker.key)
    was_complete, removed, sent = _is(before, marker), 0, 0
    if before and not was_complete:  # of an earlier version, which would seem to go with the new
        store.delete(marker.key)
    for item in items:
        if item is marker and not was_complete:
            removed = _remove_stale(layout, store, prefix, {file.key for file in files})
        is_new = not _is(store.head(item.key), item)
        if is_new:
            try:
                store.put(item.key, item.content, item.sha256)
            except OSError:
                raise InputError(
                    f"run {layout.run_id} is being written anew, and {item.key} is gone; start "
                    "again when it is complete"
                ) from None
            sent += 1
        if is_new or not was_complete:  # it may have been sent by a start that was killed
            _read_back(store, item)
        events.progress.advance(1)
    to = shown_address(f"{root}/{prefix}".rstrip("/"))
    size = sum(item.bytes for item in items)
    found = read_manifest(layout)
    id_key = found.id_key if found else None
    return UploadResult(layout.run_id, to, len(items), size, sent, removed, id_key)


def _whole_files(layout: Layout, events: RunEvents) -> list[ListedFile]:
    """The run's files as its manifest lists them. Raises ``InputError`` where they differ."""
    listed = own_files(layout, whole_manifest(layout))
    refuse_changed(layout, listed, events)
    # Parts first: a reader that lists the folder of a run sees its tables whole.
    return sorted(listed, key=lambda file: file.table is None)


def _lists_of_parts(listed: Sequence[ListedFile], root: str) -> Iterator[tuple[str, str]]:
    """For each table its parts by address, for loaders that take lists and no patterns."""
    for table in DATA_FOLDERS:
        parts = [(f"{root}{file.path}", file.bytes) for file in listed if file.table == table]
        if not parts:
            continue
        yield f"{table}.uris.txt", "".join(f"{uri}\n" for uri, _ in parts)
        if root.startswith("s3://"):  # Redshift wants the size of each Parquet file
            entries = [
                {"url": uri, "mandatory": True, "meta": {"content_length": size}}
                for uri, size in parts
            ]
            yield f"{table}.redshift.manifest", json.dumps({"entries": entries}, indent=2) + "\n"


def _of_bytes(key: str, content: bytes) -> _Item:
    return _Item(key, content, len(content), hashlib.sha256(content).hexdigest())


def _is(found: StoredObject | None, item: _Item) -> bool:
    return found is not None and (found.bytes, found.sha256) == (item.bytes, item.sha256)


def _read_back(store: ObjectStore, item: _Item) -> None:
    """Reads the object and compares its size and digest. Raises ``OutputError`` if they differ."""
    size, chunks = store.get(item.key)  # by any etag: a second upload at once writes the same bytes
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    if (size, digest.hexdigest()) != (item.bytes, item.sha256):
        store.delete(item.key)  # else the next start would take it for sent
        raise OutputError(
            f"{store.name(item.key)}: what lies there is not what was sent, so it was removed; "
            "start again"
        )


def _remove_stale(layout: Layout, store: ObjectStore, prefix: str, keys: set[str]) -> int:
    """Removes parts of an earlier version of this run, which readers would take for its own."""
    folders = [f"{prefix}{table}/run_date={layout.run_date}" for table in DATA_FOLDERS]
    found = [item.key for folder in folders for item in store.keys(folder)]
    stale = [
        key
        for key in found
        if key not in keys and run_of_part(key.rpartition("/")[2]) == layout.run_id
    ]
    for key in stale:
        store.delete(key)
    return len(stale)
