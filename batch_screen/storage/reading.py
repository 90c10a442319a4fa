"""One reader for every file that others may have touched: nothing odd there is waited for or fatal.

Regular files only, opened without blocking, up to a size. Whatever a decoder raises over their
content is a ``ValueError``, so that damage is named as damage.
"""

from __future__ import annotations

import os
import select
import stat
import time
from collections.abc import Iterator
from errno import EISDIR, ENODATA, ENXIO, ETIMEDOUT
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

Decoded = TypeVar("Decoded")

MOST_BYTES = 32 << 20
"""The largest JSON file that is read: eight times the plan of the largest list."""

_QUIETLY = os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_WAIT_SECONDS = 10.0
_LONGEST_LINE = 1 << 18


class OddFileError(OSError):
    """Something else than a regular file, or one that is far too large."""


def open_regular(path: Path, flags: int = os.O_RDONLY) -> BufferedReader:
    """The regular file, opened; never waits, as a pipe would make it. Raises ``OSError``."""
    # Opened first: what a name stands for may change between a look at it and its opening.
    descriptor = os.open(path, flags | _QUIETLY)
    try:
        _refuse_odd(os.fstat(descriptor).st_mode)
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")  # which closes it itself where a signal ends it


def is_there(path: Path) -> bool:
    """Whether anything lies there; no, too, in a folder that is closed to us."""
    return os.path.exists(path)  # noqa: PTH110 (Path.exists raises there)


def refuse_odd(path: Path) -> None:
    """Raises ``OSError`` unless it is a regular file: for libraries that open files themselves."""
    _refuse_odd(path.stat().st_mode)


def refuse_large(file: BufferedReader, limit: int) -> None:
    """Raises ``OSError`` where the file has more bytes: a sparse one costs nobody anything."""
    if os.fstat(file.fileno()).st_size > limit:
        raise OddFileError(ENXIO, f"it is larger than {_size(limit)}")


def read_bytes(path: Path, limit: int = MOST_BYTES) -> bytes:
    """The content of a regular file of at most ``limit`` bytes. Raises ``OSError``."""
    with open_regular(path) as file:
        refuse_large(file, limit)
        return file.read(limit)


def read_json(path: Path, kind: type[Decoded], limit: int = MOST_BYTES) -> Decoded:
    """What a JSON file holds, as ``kind``. Raises ``OSError``, or ``ValueError`` over damage."""
    return decoded(read_bytes(path, limit), kind)


def decoded(content: bytes | msgspec.Raw, kind: type[Decoded]) -> Decoded:
    """The JSON as ``kind``. Raises ``ValueError``, also where it is nested too deeply.

    >>> decoded(b"[" * 100_000, list)
    Traceback (most recent call last):
    ValueError: it is nested too deeply
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def decoded_lines(content: bytes, kind: type[Decoded]) -> list[Decoded]:
    """As ``decoded``, of a file with a JSON text in each line."""
    try:
        return msgspec.json.Decoder(kind).decode_lines(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def bounded_lines(file: BinaryIO) -> Iterator[bytes]:
    """The file's lines; one of 256 KiB and more comes in pieces: a sparse file has no other."""
    return iter(partial(file.readline, _LONGEST_LINE), b"")


def read_small(path: Path, limit: int) -> bytes:
    """Reads a file that a person names, of at most ``limit`` bytes. Raises ``OSError``.

    A pipe, as a shell's ``<(…)`` makes, is read like a file; one that nobody writes to, or
    whose writer says nothing for ten seconds, is an error.
    """
    descriptor = os.open(path, os.O_RDONLY | _QUIETLY)
    try:
        content = bytearray()
        deadline = time.monotonic() + _WAIT_SECONDS
        while chunk := _chunk(descriptor, limit + 1 - len(content), deadline):
            content += chunk
            if len(content) > limit:
                raise OddFileError(ENXIO, f"it is larger than {_size(limit)}")
        if not content and stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            raise OSError(ENODATA, "no process writes to this pipe")
        return bytes(content)
    finally:
        os.close(descriptor)


def _chunk(descriptor: int, size: int, deadline: float) -> bytes:
    while True:
        try:
            return os.read(descriptor, size)
        except BlockingIOError:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise TimeoutError(ETIMEDOUT, "it delivered nothing") from None


def _refuse_odd(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
    if not stat.S_ISREG(mode):
        raise OddFileError(ENXIO, "it is not a regular file")


def _size(limit: int) -> str:
    return f"{limit >> 20} MiB" if limit >= 1 << 20 else f"{limit >> 10} KiB"
