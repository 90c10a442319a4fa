"""Small files that a person names: read whole, and never waited for or swallowed endlessly."""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from pathlib import Path

_WAIT_SECONDS = 10.0


def read_small(path: Path, limit: int) -> bytes:
    """The file's content. OSError where it cannot be read or holds more than ``limit`` bytes.

    A pipe, as a shell's ``<(…)`` makes, is read like a file; one that nobody writes to, or
    whose writer says nothing for ten seconds, is an error.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        content = bytearray()
        deadline = time.monotonic() + _WAIT_SECONDS
        while chunk := _chunk(descriptor, limit + 1 - len(content), deadline):
            content += chunk
            if len(content) > limit:
                raise OSError(errno.EFBIG, f"it is larger than {limit >> 10} KiB")
        if not content and stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            raise OSError(errno.ENODATA, "nobody writes to this pipe")
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
                raise TimeoutError(errno.ETIMEDOUT, "nothing came out of it") from None
