"""One run per state folder: a kernel lock, released with the process that holds it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from socket import gethostname
from time import monotonic, sleep
from typing import NamedTuple

import msgspec
from filelock import FileLock, Timeout

from batch_screen.errors import RunLockedError
from batch_screen.storage.atomic import translated, write_atomically
from batch_screen.storage.reading import open_regular, read_json

_LOCK, _HOLDER = "lock", "holder.json"
_LOOK_SECONDS = 0.05


@contextmanager
def locked(state_folder: Path) -> Iterator[None]:
    """Holds the state folder's lock. Raises ``RunLockedError``, which names the holder."""
    holder = state_folder / _HOLDER
    lock = FileLock(state_folder / _LOCK, timeout=0, mode=0o600, fallback_to_soft=False)
    with translated("lock", state_folder):
        try:
            lock.acquire()
        except Timeout:
            held = _read(holder)
            process = (
                f"process {held[0]}, since {held[1]}" if held else "its process has just started"
            )
            raise RunLockedError(
                f"another run holds {state_folder} ({process}); wait for it to end and start again"
            ) from None
    try:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        content = {"pid": os.getpid(), "since": since, "host": gethostname()}
        write_atomically(holder, json.dumps(content).encode())
        yield
    finally:
        with suppress(OSError):  # it only names the holder; the lock is what counts
            holder.unlink()
        lock.release()


@contextmanager
def shared(file: Path, what: str) -> Iterator[None]:
    """Locks a file for reading: others may share the lock, and none can have it ``alone``.

    Reading rights are enough. Raises ``RunLockedError`` where one holds it alone.
    """
    with _flocked(file, fcntl.LOCK_SH, f"{what} is being removed or written anew"):
        yield


@contextmanager
def alone(file: Path, what: str) -> Iterator[None]:
    """Locks a file for itself. Raises ``RunLockedError`` where another process has the lock."""
    with _flocked(file, fcntl.LOCK_EX, f"{what} is being read by a load or an upload"):
        yield


@contextmanager
def waited_for(file: Path, seconds: float, look: Callable[[], None]) -> Iterator[None]:
    """Locks a file for itself once all others have released it; looks about meanwhile.

    For processes that are about to end. Raises ``RunLockedError`` where they have not in time.
    """
    until = monotonic() + seconds
    with ExitStack() as held:
        while True:
            look()
            try:
                held.enter_context(alone(file, "the run"))
                break
            except RunLockedError:
                if monotonic() >= until:
                    raise
                sleep(_LOOK_SECONDS)
        yield


@contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Locks a folder, once all others have released it, which hold it for a moment each."""
    with translated("lock", folder):
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with translated("lock", folder):
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


@contextmanager
def _flocked(file: Path, how: int, why: str) -> Iterator[None]:
    # The kernel's own call: filelock needs a file of its own, and rights to write, to share one.
    with translated("lock", file):
        held = open_regular(file, os.O_RDONLY if how == fcntl.LOCK_SH else os.O_RDWR)
    with held:
        with translated("lock", file):
            try:
                fcntl.flock(held, how | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunLockedError(f"{why}; wait for that to end and start again") from None
        yield


class Holder(NamedTuple):
    """The process that holds a state folder, as recorded there.

    ``is_alive`` is None for a process on another machine, which cannot be seen from here.
    """

    pid: int
    since: str
    host: str
    is_alive: bool | None


def holder_of(state_folder: Path) -> Holder | None:
    """The folder's recorded holder, or None.

    Read only: trying the lock would keep a run from starting at that moment.
    """
    held = _read(state_folder / _HOLDER)
    if held is None:
        return None
    pid, since, host = held
    is_ours = host == gethostname()
    return Holder(pid, since, host, _is_alive(pid, state_folder / _LOCK) if is_ours else None)


def _is_alive(pid: int, lock: Path) -> bool:
    """Whether the process has the lock's file open: the kernel reuses a dead process's number."""
    if not Path(f"/proc/{os.getpid()}").exists():  # no /proc: the number must do
        return _exists(pid)
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


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # signal 0 only asks
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        pass
    return True


class _Held(msgspec.Struct):
    pid: int
    since: str
    host: str


def _read(holder: Path) -> tuple[int, str, str] | None:
    try:
        return msgspec.structs.astuple(read_json(holder, _Held))
    except (OSError, ValueError):
        return None
