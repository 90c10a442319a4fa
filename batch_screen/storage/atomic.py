"""Files that are whole or absent, and private from their first byte.

A file gets its final name only after its bytes are on disk; its folder entry is synced too,
because a rename alone survives a killed process but not a power cut.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import (
    EACCES,
    EDQUOT,
    EEXIST,
    EFBIG,
    EISDIR,
    EMFILE,
    ENFILE,
    ENOSPC,
    ENOTDIR,
    EPERM,
    EROFS,
)
from io import BufferedWriter, FileIO
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import polars as pl

from batch_screen.errors import OutputError

FOLDER_MODE = 0o700
FILE_MODE = 0o600
PUBLIC_MODE = 0o644
"""Of what holds nothing personal and other users' programs must read."""

_UNFINISHED = re.compile(r"\.(.+\.)?[0-9a-f]{8}\.tmp")

_REMEDIES = {
    **dict.fromkeys((ENOSPC, EDQUOT), "free space"),
    **dict.fromkeys((EACCES, EPERM, EROFS), "fix permissions"),
    **dict.fromkeys((EMFILE, ENFILE), "raise the limit of open files (ulimit -n)"),
    **dict.fromkeys((ENOTDIR, EISDIR, EEXIST), "move away what is in its place"),
    EFBIG: "raise the limit of a file's size (ulimit -f)",
}


@contextmanager
def translated(doing: str, path: Path) -> Iterator[None]:
    """Turns an operating system error into one ``OutputError`` line that says what to do."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        remedy = _REMEDIES.get(error.errno or 0, "check the disk")
        raise OutputError(
            f"cannot {doing} {path}: {reason}; {remedy}, then start again: what was saved is kept"
        ) from error


def make_folder(path: Path) -> Path:
    """The folder, created with its missing parents as 0700 whatever the umask, and on disk."""
    with translated("create the folder", path):
        missing = [p for p in (path, *path.parents) if not p.exists()]
        for folder in reversed(missing):
            with suppress(FileExistsError):
                folder.mkdir(mode=FOLDER_MODE)
                folder.chmod(FOLDER_MODE)
                with suppress(PermissionError):  # a parent that may be entered but not listed
                    sync_folder(folder.parent)
        if not path.is_dir():
            raise OutputError(f"{path} is not a folder; name another one")
    return path


def open_private(path: Path, flags: int = os.O_EXCL) -> FileIO:
    """A new 0600 file, open for writing; unbuffered so that a write is a write."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, FILE_MODE)
    os.fchmod(descriptor, FILE_MODE)
    return os.fdopen(descriptor, "wb", buffering=0)


def sync_folder(folder: Path) -> None:
    """Makes creations, renames and removals in the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def whole(path: Path, *, staging: Path | None = None, mode: int = FILE_MODE) -> Iterator[BinaryIO]:
    """A file that appears under its final name, whole and on disk, when the block ends.

    ``staging`` is where it grows meanwhile: a folder on the same file system, for folders
    whose readers take every file they see. On an error nothing is left behind.
    """
    folder = path.parent if staging is None else staging
    growing = folder / f".{path.name}.{secrets.token_hex(4)}.tmp"
    with translated("write", path):
        try:
            # Buffered: a disk that is nearly full takes a part of a plain write, and says so
            # only in a number that many writers do not look at.
            with BufferedWriter(open_private(growing)) as file:
                yield file
                file.flush()
                if mode != FILE_MODE:
                    os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            growing.replace(path)
            sync_folder(path.parent)
        except BaseException:
            with suppress(OSError):
                growing.unlink(missing_ok=True)
            raise


def check_could_write(folder: Path) -> None:
    """As ``check_writable``, but makes nothing: tries the part of its path that exists."""
    check_writable(next(p for p in (folder, *folder.parents) if p.exists()))


def check_writable(folder: Path) -> None:
    """Makes the folder and a file in it, which goes again. Raises ``OutputError``."""
    make_folder(folder)
    probe = folder / f".{secrets.token_hex(4)}.tmp"
    with translated("write to", folder):
        open_private(probe).close()
        probe.unlink()


def sweep(folder: Path) -> None:
    """Removes what a killed process had not finished, in the folder itself."""
    with translated("clear", folder):
        for path in folder.iterdir():
            if _UNFINISHED.fullmatch(path.name):
                path.unlink()


def sha256_of(path: Path) -> str:
    """The file's digest in hexadecimal. Raises ``OSError``."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(path: Path, content: bytes, *, mode: int = FILE_MODE) -> None:
    """Writes a small file whole or not at all."""
    with whole(path, mode=mode) as file:
        file.write(content)


# Parquet files of ours: whole or absent, and a full disk is a full disk.
#
# polars tells of it in errors of its own, as if the rows were at fault.


def write_frame(
    path: Path, frame: pl.DataFrame, *, staging: Path | None = None, **how: Any
) -> None:
    """Writes the frame whole or not at all; ``how`` goes to polars. Raises ``OutputError``."""
    with whole(path, staging=staging) as file:
        witness = _Witness(file)
        try:
            frame.write_parquet(cast("IO[bytes]", witness), **how)
        except pl.exceptions.PolarsError as error:
            if witness.failure is None:
                raise
            raise witness.failure from error


class _Witness:
    """Passes on what is written and remembers what went wrong."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.failure: OSError | None = None

    def write(self, content: bytes) -> int:
        with self._remembering():
            return self._file.write(content)

    def flush(self) -> None:
        with self._remembering():  # what was buffered may fail only now
            self._file.flush()

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failure = error
            raise
