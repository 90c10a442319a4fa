"""What a disk that keeps only what was synced would still hold after a power cut.

The model is stricter than any file system: a file keeps its bytes up to its last sync, a
folder the names it had at its own last sync, so that renames and removals are undone and
whole folders vanish. Their content comes from the tree and from the shim's graveyard.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

_PAGE = 4096

Tail = Callable[[bytes, random.Random], bytes]
"""What stands in the place of bytes that were never synced."""

TAILS: dict[str, Tail] = {
    "gone": lambda _tail, _draw: b"",
    "zeros": lambda tail, _draw: bytes(len(tail)),
    "garbage": lambda tail, draw: draw.randbytes(len(tail)),
    "cut anywhere": lambda tail, draw: tail[: draw.randint(0, len(tail))],
}


def scattered(start: int, tail: bytes, draw: random.Random) -> bytes:
    """Whole pages of the tail, each as it was or zeros, as disks write in any order."""
    kept, place = bytearray(tail), 0
    while place < len(tail):
        end = place + _PAGE - (start + place) % _PAGE
        if draw.random() < 0.5:
            kept[place:end] = bytes(len(kept[place:end]))
        place = end
    return bytes(kept)


class StrictDisk:
    """The folder on such a disk: ``begin``, let a command write, ``lose_power``."""

    def __init__(self, folder: Path, ledger: Path, graveyard: Path) -> None:
        self._folder = folder
        self._ledger = ledger
        self._graveyard = graveyard
        self._names: dict[int, dict[str, int]] = {}
        self._sizes: dict[int, int] = {}

    def begin(self) -> None:
        """Takes all that is there now for synced."""
        self._names = {each.stat().st_ino: _entries(each) for each in self._folders()}
        self._sizes = {path.stat().st_ino: path.stat().st_size for path in self._files()}
        self._ledger.unlink(missing_ok=True)
        for path in self._graveyard.iterdir():
            path.unlink()

    def lose_power(self, tail: str, draw: random.Random) -> None:
        """Puts the folder back to what was synced; unsynced ends become ``tail``."""
        self._replay()
        files = {path.stat().st_ino: path for path in (*self._graveyard.iterdir(), *self._files())}
        folders = {each.stat().st_ino: each for each in self._folders()}
        kept = self._folder.with_name("after-the-cut")
        for path, file in self._kept(self._folder, kept, folders, files):
            _write(path, file, self._sizes.get(file.stat().st_ino, 0), tail, draw)
        lost = self._folder.with_name("lost-in-the-cut")
        self._folder.rename(lost)
        kept.rename(self._folder)
        shutil.rmtree(lost)

    def _folders(self) -> list[Path]:
        return [Path(parent) for parent, _, _ in os.walk(self._folder)]

    def _files(self) -> list[Path]:
        return [Path(p, name) for p, _, names in os.walk(self._folder) for name in names]

    def _replay(self) -> None:
        lines = self._ledger.read_bytes().splitlines() if self._ledger.exists() else []
        for entry in map(json.loads, lines):
            inode = entry["inode"]
            if entry["kind"] == "folder":
                self._names[inode] = entry["entries"]
            else:
                self._sizes[inode] = entry.get("size", 0)
                if entry["kind"] == "created":
                    self._names.pop(inode, None)  # of a folder that had this inode before

    def _kept(
        self, folder: Path, kept: Path, folders: dict[int, Path], files: dict[int, Path]
    ) -> Iterator[tuple[Path, Path]]:
        """Makes the synced folders below ``kept``; yields each synced name and its old file."""
        kept.mkdir(mode=folder.stat().st_mode & 0o777)
        for name, inode in self._names.get(folder.stat().st_ino, {}).items():
            if inode in folders:
                yield from self._kept(folders[inode], kept / name, folders, files)
            elif inode in files:
                yield kept / name, files[inode]


def _write(path: Path, file: Path, size: int, tail: str, draw: random.Random) -> None:
    path.write_bytes(_cut(file.read_bytes(), size, tail, draw))
    path.chmod(file.stat().st_mode & 0o777)


def _cut(content: bytes, size: int, tail: str, draw: random.Random) -> bytes:
    synced, rest = content[:size], content[size:]
    if tail == "scattered":
        return synced + scattered(size, rest, draw)
    return synced + TAILS[tail](rest, draw)


def _entries(folder: Path) -> dict[str, int]:
    return {entry.name: entry.inode() for entry in os.scandir(folder)}
