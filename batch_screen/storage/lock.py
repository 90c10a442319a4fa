"""One run per folder: a kernel lock that ends with the process that holds it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from socket import gethostname
from typing import NamedTuple

from filelock import FileLock, Timeout

from batch_screen.errors import RunLockedError
from batch_screen.storage.atomic import translated, write_whole

_LOCK, _HOLDER = "lock", "holder.json"


@contextmanager
def locked(state_folder: Path) -> Iterator[None]:
    """Holds the state folder's kernel lock, which ends with the process that holds it.

    Raises ``RunLockedError`` with the holder and its start.
    """
    holder = state_folder / _HOLDER
    lock = FileLock(state_folder / _LOCK, timeout=0, mode=0o600, fallback_to_soft=False)
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
        told = {"pid": os.getpid(), "since": since, "host": gethostname()}
        write_whole(holder, json.dumps(told).encode())
        yield
    finally:
        with suppress(OSError):  # it only tells who holds the lock; the lock is what counts
            holder.unlink()
        lock.release()


class Holder(NamedTuple):
    """The process that holds a state folder, and since when, as it has written there.

    ``is_alive`` is None where that cannot be seen from here, because it is another machine's.
    """

    pid: int
    since: str
    host: str
    is_alive: bool | None


def holder_of(state_folder: Path) -> Holder | None:
    """Who holds the folder, or None where nobody says so; reads only, and takes no lock.

    To try the lock would keep a run from starting that wants it at the same moment.
    """
    held = _read(state_folder / _HOLDER)
    if held is None:
        return None
    pid, since, host = held
    is_ours = host == gethostname()
    return Holder(pid, since, host, _is_alive(pid, state_folder / _LOCK) if is_ours else None)


def _is_alive(pid: int, lock: Path) -> bool:
    """Whether the process has the lock's file open: a number is soon another process's."""
    if not Path(f"/proc/{os.getpid()}").exists():  # no such file system: the number must do
        return _runs(pid)
    try:
        return any(_is_same(opened, lock) for opened in Path(f"/proc/{pid}/fd").iterdir())
    except PermissionError:  # another user's
        return True
    except OSError:  # it has ended
        return False


def _is_same(opened: Path, lock: Path) -> bool:
    try:
        return opened.samefile(lock)
    except OSError:  # closed meanwhile, or no file that has a name
        return False


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _read(holder: Path) -> tuple[int, str, str] | None:
    try:
        held = json.loads(holder.read_bytes())
        return int(held["pid"]), str(held["since"]), str(held["host"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _describe(holder: Path) -> str:
    held = _read(holder)
    return f"process {held[0]}, since {held[1]}" if held else "its process has just started"
