"""Checksummed state files: small JSON records and Parquet, verified by SHA-256 at every read.

A bit may flip on a disk and a file may be put in another's place. What differs from what was
written is damage: refused by name, never used, never deleted.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TypeVar

import msgspec
import polars as pl

from batch_screen.errors import JournalError
from batch_screen.storage.atomic import sha256_of, translated, write_atomically
from batch_screen.storage.parquet import ends_as_parquet, read_parquet
from batch_screen.storage.reading import decoded, read_bytes

Record = TypeVar("Record", bound=msgspec.Struct)


class _Checked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The envelope of a record: its JSON bytes and their digest."""

    sha256: str
    content: msgspec.Raw


def write_record(path: Path, record: msgspec.Struct, *, is_new: bool = False) -> None:
    """Writes the record as JSON with its digest, atomically.

    ``is_new``: a record that is there already stays.
    """
    content = msgspec.json.encode(record)
    checked = _Checked(hashlib.sha256(content).hexdigest(), msgspec.Raw(content))
    write_atomically(path, msgspec.json.encode(checked) + b"\n", is_new=is_new)


def read_record(path: Path, kind: type[Record]) -> Record:
    """Reads and verifies a record. Raises ``JournalError`` if it is damaged or missing."""
    if not path.exists():
        raise damaged(path)
    try:
        with translated("read", path):
            content = read_bytes(path)
        return record_in(content, kind)
    except ValueError as error:  # msgspec's, or bytes that are no UTF-8
        raise damaged(path) from error


def record_in(content: bytes, kind: type[Record]) -> Record:
    """The record in a file's content. Raises ``ValueError`` if it is damaged."""
    checked = decoded(content, _Checked)
    if hashlib.sha256(checked.content).hexdigest() != checked.sha256:
        raise ValueError("its digest is of another content")
    return decoded(checked.content, kind)


def check_file(path: Path, sha256: str) -> None:
    """Raises ``JournalError`` unless the Parquet file's digest is the one recorded."""
    with translated("read", path):
        # Its end first: a sparse file may take hours to hash.
        if not (path.exists() and ends_as_parquet(path)) or sha256_of(path) != sha256:
            raise damaged(path)


def read_frame(path: Path, sha256: str, columns: list[str] | None = None) -> pl.DataFrame:
    """Reads a Parquet file, or some of its columns, after verifying its digest."""
    # Of 1,500 bits flipped in Parquet, polars returned other values for 180 without an error.
    check_file(path, sha256)
    with translated("read", path):
        try:
            return read_parquet(path, columns)
        except pl.exceptions.PolarsError as error:  # whose text may quote a number
            raise damaged(path) from error


def damaged(path: Path) -> JournalError:
    """The error about a state file that is missing or was changed."""
    return JournalError(
        f"{path} is missing or not as it was written; nothing was changed: restore it from a "
        "backup, or start afresh with --new-run"
    )
