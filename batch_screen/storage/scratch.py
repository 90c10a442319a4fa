"""Scratch files and folders, which may hold numbers: private, and removed even after a kill.

A killed process removes nothing, but the kernel releases its locks: what nobody holds any more is
swept by the next one.
"""

from __future__ import annotations

import fcntl
import glob
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_PREFIX = "batch-screen-scratch-"  # no name that anybody gives a folder of their own


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for scratch files in the system's temporary one, removed when the block ends."""
    sweep_scratch()
    made = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}"))
    with _opened(made) as descriptor:
        hold(descriptor)
        # Only now does it get a name that is swept.
        folder = made.rename(made.with_name(made.name.removeprefix(".")))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def sweep_scratch() -> None:
    """Removes scratch folders of this user's killed processes, which may hold whole numbers."""
    named = (os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    # Not gettempdir: that writes a file to try the place, and ends a run where none can be written.
    folder = tempfile.tempdir or next(filter(None, named), "/tmp")  # noqa: S108 (only looked into)
    _sweep(Path(folder).glob(f"{_PREFIX}*"))


@contextmanager
def scratch_files(folder: Path, name: str, count: int) -> Iterator[list[Path]]:
    """Names of scratch files, removed when the block ends."""
    mark = secrets.token_hex(4)  # named so that ``sweep`` removes what a killed process left
    paths = [folder / f".{name}-{n:05d}.{mark}.tmp" for n in range(count)]
    try:
        yield paths
    finally:
        for path in paths:
            with suppress(OSError):
                path.unlink(missing_ok=True)


def sweep_temporaries(path: Path) -> None:
    """Removes what killed processes left of the file, not what another is writing."""
    _sweep(path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 8}.tmp"))


def hold(opened: int | IO[bytes]) -> None:
    """Locks the open file or folder as long as the process lives, where there are locks."""
    with suppress(OSError):
        fcntl.flock(opened, fcntl.LOCK_EX)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _sweep(paths: Iterator[Path]) -> None:
    """Removes those of this user's that no process holds."""
    with suppress(OSError):
        for path in paths:
            with suppress(OSError), _opened(path) as descriptor:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_uid != os.geteuid():
                    continue
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
