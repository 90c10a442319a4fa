"""One run per folder: a kernel lock that ends with the process that holds it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from batch_screen.errors import RunLockedError
from batch_screen.files import translated, write_whole


@contextmanager
def locked(state_folder: Path) -> Iterator[None]:
    """Holds the state folder's kernel lock, which ends with the process that holds it.

    Raises ``RunLockedError`` with the holder and its start.
    """
    holder = state_folder / "holder.json"
    lock = FileLock(state_folder / "lock", timeout=0, mode=0o600, fallback_to_soft=False)
    with translated("lock", state_folder):
        try:
            lock.acquire()
        except Timeout:
            raise RunLockedError(
                f"another run holds {state_folder} ({_describe(holder)}); wait for it to end"
                " and start again"
            ) from None
    try:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        write_whole(holder, json.dumps({"pid": os.getpid(), "since": since}).encode())
        yield
    finally:
        with suppress(OSError):  # it only tells who holds the lock; the lock is what counts
            holder.unlink()
        lock.release()


def _describe(holder: Path) -> str:
    try:
        held = json.loads(holder.read_bytes())
        return f"process {held['pid']}, since {held['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "its process has just started"
