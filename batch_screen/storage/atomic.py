"""Atomic file writes: complete or absent, synced, and private from the first byte.

A file gets its final name only after its bytes are on disk; its folder entry is synced too,
because a rename alone survives a killed process but not a power cut.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import (
    EACCES,
    EDQUOT,
    EEXIST,
    EFBIG,
    EISDIR,
    EMFILE,
    ENAMETOOLONG,
    ENFILE,
    ENOENT,
    ENOLCK,
    ENOSPC,
    ENOSYS,
    ENOTDIR,
    ENOTSUP,
    ENXIO,
    EPERM,
    EROFS,
)
from io import BufferedWriter, FileIO
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import polars as pl
import pyarrow as pa

from batch_screen.errors import OutputError, has_working_folder, no_working_folder
from batch_screen.storage.parquet import metadata_of, read_parquet
from batch_screen.storage.reading import open_regular, refuse_large
from batch_screen.storage.scratch import hold, sweep_temporaries

FOLDER_MODE = 0o700
FILE_MODE = 0o600
GROUP_FOLDER_MODE = 0o2750
"""With setgid, so that what is made in it belongs to the same group."""
GROUP_FILE_MODE = 0o640
PUBLIC_MODE = 0o644
"""For files without personal data that other users' programs must read."""

UNFINISHED = re.compile(r"\.(.+\.)?[0-9a-f]{8}\.tmp")
"""The names of files that are being written."""

_REMEDIES = {
    **dict.fromkeys((ENOSPC, EDQUOT), "free space"),
    **dict.fromkeys((EACCES, EPERM, EROFS), "fix permissions"),
    **dict.fromkeys((EMFILE, ENFILE), "raise the limit of open files (ulimit -n)"),
    **dict.fromkeys((ENOTDIR, EISDIR, EEXIST, ENXIO), "move away what is in its place"),
    **dict.fromkeys((ENOLCK, ENOSYS, ENOTSUP), "use a local disk or block storage"),
    EFBIG: "raise the limit of a file's size (ulimit -f)",
    ENAMETOOLONG: "name a shorter path",
    ENOENT: "make the folder it lies in",
}


@contextmanager
def translated(doing: str, path: Path) -> Iterator[None]:
    """Translates an operating system error into an ``OutputError`` with a remedy."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        remedy = _REMEDIES.get(error.errno or 0, "check the disk")
        if error.errno == ENOENT and not has_working_folder():
            raise no_working_folder() from error
        raise OutputError(
            f"cannot {doing} {path}: {reason}; {remedy}, then start again: what was saved is kept"
        ) from error


def make_folder(path: Path, mode: int = FOLDER_MODE) -> Path:
    """Creates the folder and its missing parents, and syncs them; the umask changes nothing.

    One that is there already is opened to its group where ``mode`` says so, and never closed.
    """
    with translated("create the folder", path):
        missing = [p for p in (path, *path.parents) if not p.exists()]
        for folder in reversed(missing):
            with suppress(FileExistsError):
                folder.mkdir(mode=FOLDER_MODE)
                folder.chmod(mode)
                with suppress(PermissionError):  # a parent that may be entered but not listed
                    sync_folder(folder.parent)
        if not path.is_dir():
            raise OutputError(f"{path} is not a folder; name another one")
    if mode == GROUP_FOLDER_MODE:
        found = stat.S_IMODE(path.stat().st_mode)
        if found | (mode & ~FOLDER_MODE) != found:
            with translated("open to its group the folder", path):
                path.chmod(found | mode)
    return path


def open_private(path: Path, flags: int = os.O_EXCL) -> FileIO:
    """Opens a new file of mode 0600 for writing, unbuffered."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, FILE_MODE)
    os.fchmod(descriptor, FILE_MODE)
    return os.fdopen(descriptor, "wb", buffering=0)


_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE


def exchange_folders(one: Path, other: Path) -> None:
    """Exchanges two folders of one parent: at any moment both names are there.

    Where the system has no such call, one name is missing for a moment: ``finish_exchange``.
    """
    rename = getattr(ctypes.CDLL(None), "renameat2", None)  # Linux has it, and Python no call of it
    names = os.fsencode(one), os.fsencode(other)
    with translated("exchange", one):
        if rename is None or rename(_HERE, names[0], _HERE, names[1], _EXCHANGE) != 0:
            one.rename(_aside(one))
            other.rename(one)
            finish_exchange(one, other)
        sync_folder(one.parent)


def finish_exchange(one: Path, other: Path) -> None:
    """Gives back its name to a folder that an exchange had to put aside, if one was killed."""
    missing = other if one.exists() else one
    if _aside(one).exists() and not missing.exists():
        _aside(one).rename(missing)


def _aside(one: Path) -> Path:
    return one.with_name(f".{one.name}.before")


def sync_folder(folder: Path) -> None:
    """Syncs the folder's entries, so that renames and removals survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_write(
    path: Path, *, staging: Path | None = None, mode: int = FILE_MODE, is_new: bool = False
) -> Iterator[BinaryIO]:
    """Writes to a temporary file that replaces ``path``, synced, when the block ends.

    ``is_new``: what is there already stays; of several who write it, the first one has.
    ``staging`` is the temporary file's folder, on the same file system: for data folders, whose
    readers take every file they see. On an error nothing is left behind.
    """
    folder = path.parent if staging is None else staging
    temporary = folder / f".{path.name}.{secrets.token_hex(4)}.tmp"
    with translated("write", path):
        if path.exists() and not (path.is_file() or path.is_dir()):
            # A file would take the place of /dev/full, or of a pipe somebody reads.
            raise OutputError(
                f"cannot write {path}: it is not a regular file; move it away, or name another"
            )
        try:
            # Buffered, because a nearly full disk takes part of a raw write and says so only in
            # the returned count, which polars and pyarrow do not look at.
            with BufferedWriter(open_private(temporary)) as file:
                hold(file)
                yield file
                file.flush()
                if mode != FILE_MODE:
                    os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            if is_new:  # a link, because renaming would replace
                with suppress(FileExistsError):
                    os.link(temporary, path)
                temporary.unlink()
            else:
                temporary.replace(path)
            sync_folder(path.parent)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


def check_file(path: Path, option: str) -> None:
    """Raises ``OutputError`` if this one file could not be written: now, not when all is read.

    Removes what killed processes left of it.
    """
    folder = path.absolute().parent
    if not folder.is_dir():
        raise OutputError(f"{option} {path}: there is no folder {folder}; make it first")
    if path.exists() and not path.is_file():
        raise OutputError(f"{option} {path}: it is not a regular file; name another one")
    check_could_write(folder)
    sweep_temporaries(path)


def check_could_write(folder: Path) -> None:
    """Raises ``OutputError`` if the folder cannot be written; creates no folder."""
    with translated("write to", folder):
        there = next(p for p in (folder, *folder.parents) if p.exists())
    check_writable(there)


def check_writable(folder: Path) -> None:
    """Creates the folder, and writes and reads a Parquet file there, which is removed.

    By the code that writes and reads a run's parts: an empty file can be made in places where
    these cannot. Raises ``OutputError``.
    """
    make_folder(folder)
    probe = folder / f".{secrets.token_hex(4)}.tmp"
    rows = pl.DataFrame({"rows": [1]})
    with translated("write to", folder):
        try:
            with BufferedWriter(open_private(probe)) as file:
                _write_rows(file, rows)
            is_same = read_parquet(probe).equals(rows) and metadata_of(probe).num_rows == 1
        except (pl.exceptions.PolarsError, pa.ArrowException, TypeError, ValueError):
            is_same = False
        finally:
            probe.unlink(missing_ok=True)
    if not is_same:
        raise OutputError(
            f"{folder}: a file that is written there cannot be read; name another one"
        )


def sweep(folder: Path) -> None:
    """Removes temporary files of killed processes; subfolders are left alone."""
    with translated("clear", folder):
        for path in folder.iterdir():
            if UNFINISHED.fullmatch(path.name):
                path.unlink()


def sha256_of(path: Path, limit: int | None = None) -> str:
    """The file's digest in hexadecimal. Raises ``OSError``, also where it is over ``limit``."""
    with open_regular(path) as file:
        if limit is not None:
            refuse_large(file, limit)
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(
    path: Path, content: bytes, *, mode: int = FILE_MODE, is_new: bool = False
) -> None:
    """Writes a small file atomically."""
    with atomic_write(path, mode=mode, is_new=is_new) as file:
        file.write(content)


def write_frame(
    path: Path,
    frame: pl.DataFrame,
    *,
    staging: Path | None = None,
    mode: int = FILE_MODE,
    **how: Any,
) -> None:
    """Writes a Parquet file atomically; ``how`` goes to polars. Raises ``OutputError``."""
    with atomic_write(path, staging=staging, mode=mode) as file:
        _write_rows(file, frame, **how)


def _write_rows(file: BinaryIO, frame: pl.DataFrame, **how: Any) -> None:
    recorder = _FailureRecorder(file)
    try:
        frame.write_parquet(cast("IO[bytes]", recorder), **how)
    except pl.exceptions.PolarsError as error:
        # polars reports a full disk as an error of its own, as if the rows were at fault.
        if recorder.failure is None:
            raise
        raise recorder.failure from error


class _FailureRecorder:
    """A writable file that records the ``OSError`` which polars hides."""

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
