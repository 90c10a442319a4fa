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
from collections.abc import Callable
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
        self._names = {os.stat(each).st_ino: _entries(Path(each)) for each in self._folders()}
        self._sizes = {path.stat().st_ino: path.stat().st_size for path in self._files()}
        self._ledger.unlink(missing_ok=True)
        for path in self._graveyard.iterdir():
            path.unlink()

    def lose_power(self, tail: str, draw: random.Random) -> None:
        """Puts the folder back to what was synced; unsynced ends become ``tail``."""
        self._replay()
        found = {path.stat().st_ino: path for path in self._graveyard.iterdir()}
        found |= {path.stat().st_ino: path for path in self._files()}
        folders = {os.stat(each).st_ino: Path(each) for each in self._folders()}
        kept = self._folder.with_name("after-the-cut")
        self._rebuild(self._folder, kept, folders, found, tail, draw)
        lost = self._folder.with_name("lost-in-the-cut")
        self._folder.rename(lost)
        kept.rename(self._folder)
        shutil.rmtree(lost)

    def _folders(self) -> list[str]:
        return [parent for parent, _, _ in os.walk(self._folder)]

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

    def _rebuild(
        self,
        folder: Path,
        kept: Path,
        folders: dict[int, Path],
        found: dict[int, Path],
        tail: str,
        draw: random.Random,
    ) -> None:
        kept.mkdir(mode=folder.stat().st_mode & 0o777)
        for name, inode in self._names.get(folder.stat().st_ino, {}).items():
            if inode in folders:
                self._rebuild(folders[inode], kept / name, folders, found, tail, draw)
            elif inode in found:
                size = self._sizes.get(inode, 0)
                content = _cut(found[inode].read_bytes(), size, tail, draw)
                (kept / name).write_bytes(content)
                (kept / name).chmod(found[inode].stat().st_mode & 0o777)


def _cut(content: bytes, size: int, tail: str, draw: random.Random) -> bytes:
    synced, rest = content[:size], content[size:]
    if tail == "scattered":
        return synced + scattered(size, rest, draw)
    return synced + TAILS[tail](rest, draw)


def _entries(folder: Path) -> dict[str, int]:
    return {entry.name: entry.inode() for entry in os.scandir(folder)}
