"""A reader that opens everything under a final name all the time, as a warehouse might."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from xml.etree import ElementTree as ET

import pyarrow as pa
import pyarrow.parquet as pq

from tests.thoroughness import IS_FULL

_PAUSE_SECONDS = 0.005 if IS_FULL else 0.02
_FILE, _FOLDER = 0o600, 0o700
_GROWS = (".tmp", ".growing", ".journal", ".input", "lock")
_UNSYNCED = "progress.json"  # nothing rests on it: whoever reads it takes a torn one for none


def is_final(path: Path) -> bool:
    """Whether a reader may take what lies there for whole.

    >>> is_final(Path("results/a.parquet")), is_final(Path("plan.growing/a.parquet"))
    (True, False)
    """
    named = (part for part in path.parts if part != ".state")
    if path.name == _UNSYNCED:
        return False
    return not any(part.endswith(_GROWS) or part.startswith(".") for part in named)


class Witness:
    """Reads a folder again and again in a thread; ``torn`` and ``wrong_modes`` say what it met."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[Path, tuple[int, int, int]] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._read_on, name="witness", daemon=True)
        self.torn: list[str] = []
        self.wrong_modes: set[str] = set()
        self.sweeps = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def sweep(self) -> None:
        """Looks at every file and folder once."""
        self.sweeps += 1
        for path in _everything(self._folder):
            with suppress(FileNotFoundError):  # whatever has a name now may lose it
                self._look(path)

    def _read_on(self) -> None:
        while not self._done.wait(_PAUSE_SECONDS):
            try:
                self.sweep()
            except Exception as error:  # noqa: BLE001 (a silent end would find nothing torn)
                self.torn.append(f"the witness failed: {error!r}")
                return

    def _look(self, path: Path) -> None:
        status = path.lstat()
        is_folder = stat.S_ISDIR(status.st_mode)
        mode = stat.S_IMODE(status.st_mode)
        name = path.relative_to(self._folder)
        if mode != (_FOLDER if is_folder else _FILE):
            self.wrong_modes.add(f"{_pattern(name)} has mode {mode:o}")
        version = _version(status)
        if is_folder or not is_final(name) or self._seen.get(path) == version:
            return
        try:
            _read(path)
        except (ValueError, pa.ArrowException) as error:
            if _version(path.lstat()) == version:  # else withdrawn with what it spoke of
                self.torn.append(f"{name}: {error}"[:200])
        self._seen[path] = version


def _version(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_mtime_ns, status.st_size


def _everything(folder: Path) -> Iterator[Path]:
    if folder.exists():
        yield folder
    for parent, folders, files in os.walk(folder):
        yield from (Path(parent, name) for name in (*folders, *files))


def _pattern(name: Path) -> str:
    """The name without what differs from run to run."""
    return str(name.with_name("".join("#" if c.isdigit() else c for c in name.name)))


def _read(path: Path) -> None:
    """Raises ``ValueError`` or what pyarrow raises if the file is not whole."""
    if path.suffix == ".parquet":
        with path.open("rb") as file:  # one file throughout, whatever its name becomes
            pq.read_table(pa.BufferReader(file.read()))
    elif path.suffix == ".json":
        json.loads(path.read_bytes())
    elif path.suffix == ".svg":
        _whole_drawing(path.read_bytes())
    elif path.suffix == ".csv":
        _whole_lines(path.read_bytes())
    elif path.suffix == ".html":
        _whole_page(path.read_bytes())
    elif path.suffix == ".seal":
        _as_sealed(path)
    elif path.name == "_SUCCESS":
        _as_manifested(path)


def _whole_page(content: bytes) -> None:
    if not content.rstrip().endswith(b"</html>"):
        raise ValueError("the page ends early")


def _whole_drawing(content: bytes) -> None:
    try:
        ET.fromstring(content)
    except ET.ParseError as error:
        raise ValueError(str(error)) from error


def _whole_lines(content: bytes) -> None:
    if not content.decode("utf-8").endswith("\r\n"):
        raise ValueError("the last line is not whole")


def _as_manifested(marker: Path) -> None:
    """Once the marker is there, so is everything it speaks of, byte for byte."""
    try:
        manifest = (marker.parent / "manifest.json").read_bytes()
        _must_be(manifest, marker.read_text("utf-8").strip(), "manifest.json")
        for entry in json.loads(manifest)["files"]:
            content = (marker.parents[2] / entry["path"]).read_bytes()
            _must_be(content, entry["sha256"], entry["path"])
    except FileNotFoundError as error:
        raise ValueError(f"the marker is there, {error.filename} is not") from error


def _as_sealed(seal: Path) -> None:
    """Once the seal is there, so are the outcomes it speaks of."""
    content = json.loads(seal.read_bytes())["content"]
    epoch = content.get("epoch")  # of several workers, several may have sealed the shard
    sealed = seal.with_name(f"{seal.stem}{'' if epoch is None else f'-{epoch:05d}'}.parquet")
    try:
        _must_be(sealed.read_bytes(), content["sha256"], sealed.name)
    except FileNotFoundError as error:
        raise ValueError(f"the seal is there, {sealed.name} is not") from error


def _must_be(content: bytes, digest: str, name: str) -> None:
    if hashlib.sha256(content).hexdigest() != digest:
        raise ValueError(f"the digest of {name} differs")
