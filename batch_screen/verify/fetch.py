"""Copies a run out of a bucket into a folder of this machine, where its checks can be made.

What the bucket lacks is not made up for: the checks say what is missing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedWriter
from pathlib import Path

from batch_screen.config.paths import bucket_of, refuse_input_address, shown_address
from batch_screen.errors import OutputError, no_input
from batch_screen.runs.events import RunEvents
from batch_screen.runs.layout import (
    DATA_FOLDERS,
    Layout,
    is_run_id,
    latest_run,
    layout_of_run,
)
from batch_screen.storage.atomic import make_folder, open_private, translated
from batch_screen.storage.objects import ObjectStore
from batch_screen.storage.scratch import scratch_folder
from batch_screen.tables.integrity import own_files, run_of_part
from batch_screen.tables.manifest import read_manifest


class BucketOutput:
    """An output folder that was uploaded to a bucket; ``own`` is the run that the address names."""

    def __init__(self, address: str) -> None:
        """Raises ``InputError`` where the address names no bucket."""
        place = bucket_of(address)
        if place is None:
            refuse_input_address(address)
            raise no_input(f"{shown_address(address)} names no bucket; write s3://BUCKET/PREFIX")
        root, prefix = place[0], place[1].strip("/")
        above, _, last = f"/{prefix}".rpartition("/runs/")
        self.own = last if is_run_id(last) else None
        prefix = above.strip("/") if self.own else prefix
        self.shown = shown_address(f"{root}/{prefix}".rstrip("/"))
        self._store = ObjectStore(root, shown_address(root))
        self._base = f"{prefix}/" if prefix else ""

    def runs(self) -> list[str]:
        """Ids of all runs that were uploaded there, oldest date first. Raises ``InputError``."""
        below = f"{self._base}runs"
        found = {item.key[len(below) + 1 :].partition("/")[0] for item in self._store.keys(below)}
        runs = sorted(name for name in found if is_run_id(name))
        if not runs:
            raise no_input(f"{self.shown}: no run was uploaded there; check the address")
        return [self.own] if self.own else runs

    @contextmanager
    def fetched(self, run_id: str | None, events: RunEvents) -> Iterator[Layout]:
        """The run named, or the address's own, or the one latest.json names, in a scratch folder.

        Raises ``InputError`` where there is no such run, ``OutputError`` where it has no room.
        """
        with scratch_folder() as folder:
            self._fetch(folder, "latest.json")
            latest = latest_run(folder)
            named = run_id or self.own or latest
            if named is None:
                raise no_input(f"{self.shown}: no latest.json there; name a run with --run")
            if named not in self.runs():
                raise no_input(f"{self.shown}: there is no run {named}; name another, or say --all")
            layout = layout_of_run(folder, named)
            for each in {named, latest or named}:
                for name in ("_SUCCESS", "manifest.json"):
                    self._fetch(folder, f"runs/{each}/{name}")
            self._fetch_listed(layout, events)
            self._name_strangers(layout)
            yield layout

    def _fetch_listed(self, layout: Layout, events: RunEvents) -> None:
        manifest = read_manifest(layout)
        listed = own_files(layout, manifest) if manifest else []
        needed, free = sum(file.bytes for file in listed), shutil.disk_usage(layout.folder).free
        if needed > free:
            raise OutputError(
                f"run {layout.run_id} has {needed:,} bytes, and {layout.folder} has {free:,} free; "
                "free space, or set TMPDIR to a folder on another disk"
            )
        events.progress.stage("fetching", total=needed)
        for file in listed:
            self._fetch(layout.folder, file.path)
            events.advance(file.bytes)

    def _fetch(self, folder: Path, name: str) -> None:
        """Copies the object, if it is there."""
        found = self._store.head(self._base + name)
        if found is None:
            return
        path = folder / name
        make_folder(path.parent)
        _, chunks = self._store.get(found.key, found.etag)
        with translated("write", path), BufferedWriter(open_private(path)) as file:
            for chunk in chunks:
                file.write(chunk)

    def _name_strangers(self, layout: Layout) -> None:
        """Empty files in the places of objects that no manifest lists: their names are checked."""
        for table in DATA_FOLDERS:
            for item in self._store.keys(self._base + table):
                path = layout.folder / item.key.removeprefix(self._base)
                if run_of_part(path.name) in (None, layout.run_id) and not path.exists():
                    make_folder(path.parent)
                    with translated("write", path):
                        path.touch()
