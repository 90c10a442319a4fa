"""Makes calls of the command under test fail, notes what would survive a power cut, jumps clocks.

Python imports it by itself where this folder is on PYTHONPATH; FAULT_PLAN names a file with the
JSON of ``faulty.FaultPlan``. Not part of the package, and imports nothing of it. Linux only.
"""

from __future__ import annotations

import atexit
import datetime as dt
import errno
import gc
import io
import json
import os
import random
import resource
import signal
import threading
import time
from collections import Counter
from typing import Any

_REAL: dict[str, Any] = {
    name: getattr(os, name)
    for name in (
        *("open", "fdopen", "fsync", "fdatasync", "replace", "rename", "mkdir", "unlink"),
        *("write", "remove"),
    )
}


class Shim:
    """The plan of one process, and how often each kind of call was made in each place."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.roots: dict[str, str] = plan["roots"]
        self.faults: list[dict[str, Any]] = plan["faults"]
        self.graveyard: str = plan["graveyard"]
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._ledger = _append_only(plan["ledger"])
        self._fired = _append_only(plan["fired"])
        self._census: str = plan["census"]

    def place(self, path: str) -> str | None:
        """``state``, ``output`` or None: the innermost root that the path lies in."""
        inside = [n for n, r in self.roots.items() if path == r or path.startswith(r + "/")]
        return max(inside, key=lambda name: len(self.roots[name]), default=None)

    def due(self, call: str, path: str, *, reads: bool = False) -> dict[str, Any] | None:
        """Counts the call; returns the fault that it has to meet.

        A fault of ``all`` calls is a disk that has become read-only: what reads goes on.
        """
        place = self.place(path)
        if place is None:
            return None
        with self._lock:
            self.counts[f"{call} {place}"] += 1
            for fault in self.faults:
                if fault["place"] not in (place, "any"):
                    continue
                if fault["name"] not in ("", os.path.basename(path)):
                    continue
                if fault["call"] == call or (fault["call"] == "all" and not reads):
                    fault["seen"] = seen = fault.get("seen", 0) + 1
                    if fault["at"] <= seen < fault["at"] + fault["times"]:
                        self._note_fired(fault, path)
                        return fault
        return None

    def fail_if_due(self, call: str, path: str, *, reads: bool = False) -> None:
        fault = self.due(call, path, reads=reads)
        if fault is not None and fault["errno"] == "SIGKILL":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault is not None:
            raise _error(fault, path)

    def note(self, **entry: object) -> None:
        """A line of the ledger: the kernel has it, so it survives this process."""
        if self._ledger is not None:
            _REAL["write"](self._ledger, json.dumps(entry).encode() + b"\n")

    def note_created(self, path: str) -> None:
        self.note(kind="created", inode=os.stat(path).st_ino)

    def bury(self, path: Any, dir_fd: int | None = None) -> None:
        """Keeps a second name of what is about to lose its first: a power cut may undo that."""
        if self._ledger is None:
            return
        try:
            inode = os.stat(path, dir_fd=dir_fd, follow_symlinks=False).st_ino
            os.link(path, f"{self.graveyard}/{inode}", src_dir_fd=dir_fd, follow_symlinks=False)
        except (FileNotFoundError, FileExistsError, PermissionError):
            return  # nothing to lose, kept already, or a folder

    def write_census(self) -> None:
        with open(self._census, "w") as file:
            json.dump(self.counts, file)

    def _note_fired(self, fault: dict[str, Any], path: str) -> None:
        if self._fired is not None:
            line = {"call": fault["call"], "path": path, "at": time.monotonic()}
            _REAL["write"](self._fired, json.dumps(line).encode() + b"\n")


def _append_only(path: str) -> int | None:
    if not path:
        return None
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    descriptor: int = _REAL["open"](path, flags, 0o600)
    return descriptor


def _error(fault: dict[str, Any], path: str) -> OSError:
    number = getattr(errno, fault["errno"])
    return OSError(number, os.strerror(number), path)


def _path_of(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}")


def _full(path: Any) -> str:
    return os.path.abspath(os.fspath(path))


class _Watched(io.FileIO):
    """A file whose writes may fail or fall short."""

    def write(self, content: Any) -> int:
        fault = SHIM.due("write", _path_of(self.fileno()))
        if fault is None:
            return super().write(content)
        if not fault["errno"]:  # less than was asked for is no error
            return super().write(bytes(content)[: max(1, len(content) // 2)])
        if fault["short"]:
            # As a filling disk does it: some bytes still fit, the next write fails.
            fault["short"] = False
            return super().write(bytes(content)[: max(1, len(content) // 2)])
        raise _error(fault, _path_of(self.fileno()))


def _open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    if dir_fd is not None:
        return int(_REAL["open"](path, flags, mode, dir_fd=dir_fd))
    reads = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) == 0
    SHIM.fail_if_due("open", _full(path), reads=reads)
    is_new = flags & os.O_CREAT and not os.path.lexists(path)
    descriptor: int = _REAL["open"](path, flags, mode)
    if is_new:
        SHIM.note(kind="created", inode=os.fstat(descriptor).st_ino)
    return descriptor


def _fdopen(descriptor: int, mode: str = "r", buffering: int = -1, *more: Any, **named: Any) -> Any:
    if mode != "wb" or SHIM.place(_path_of(descriptor)) is None:
        return _REAL["fdopen"](descriptor, mode, buffering, *more, **named)
    raw = _Watched(descriptor, "wb")
    return raw if buffering == 0 else io.BufferedWriter(raw)


def _synced(name: str) -> Any:
    def sync(descriptor: Any) -> None:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        path = _path_of(number)
        SHIM.fail_if_due("fsync", path, reads=True)
        # Taken before: what is added meanwhile may or may not be on disk.
        status, is_folder = os.fstat(number), os.path.isdir(path)
        entries = {e.name: e.inode() for e in os.scandir(path)} if is_folder else None
        _REAL[name](number)
        if SHIM.place(path) is None:
            return
        if entries is None:
            SHIM.note(kind="file", inode=status.st_ino, size=status.st_size)
        else:
            SHIM.note(kind="folder", inode=status.st_ino, entries=entries)

    return sync


def _moved(name: str) -> Any:
    def move(source: Any, target: Any, **named: Any) -> None:
        SHIM.fail_if_due("rename", _full(target))
        SHIM.bury(target)
        _REAL[name](source, target, **named)

    return move


def _mkdir(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
    SHIM.fail_if_due("mkdir", _full(path))
    _REAL["mkdir"](path, mode, dir_fd=dir_fd)
    SHIM.note_created(_full(path))


def _unlink(path: Any, *, dir_fd: int | None = None) -> None:
    if dir_fd is None:
        SHIM.fail_if_due("unlink", _full(path))
    SHIM.bury(path, dir_fd)
    _REAL["unlink"](path, dir_fd=dir_fd)


def _jump_clock(clock: dict[str, Any]) -> None:
    """The wall clock leaps to another of its offsets, in seconds, every so many readings.

    ``datetime`` cannot be replaced by a subclass, which msgspec and polars would not take for
    it, so its own ``now`` is.
    """
    draw, real, readings = random.Random(clock["seed"]), time.time, Counter[str]()
    offset = [0.0]

    def jumping() -> float:
        readings["all"] += 1
        if readings["all"] % clock["every"] == 0:
            offset[0] = draw.choice(clock["offsets"])
        return max(0.0, real() + offset[0])

    def now(_: Any, tz: dt.tzinfo | None = None) -> dt.datetime:
        return dt.datetime.fromtimestamp(jumping(), tz)

    time.time = jumping
    time.time_ns = lambda: int(jumping() * 1e9)
    own = gc.get_referents(dt.datetime.__dict__)[0]
    own["now"] = classmethod(now)
    _forget_cached(dt.datetime)


def _forget_cached(changed: type) -> None:
    import ctypes

    ctypes.pythonapi.PyType_Modified(ctypes.py_object(changed))


def _install(plan: dict[str, Any]) -> None:
    for name, value in plan["limits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    if plan["clock"]:
        _jump_clock(plan["clock"])
    os.open, os.fdopen, os.mkdir = _open, _fdopen, _mkdir
    os.unlink = os.remove = _unlink
    os.fsync, os.fdatasync = _synced("fsync"), _synced("fdatasync")
    os.replace, os.rename = _moved("replace"), _moved("rename")
    if plan["census"]:
        atexit.register(SHIM.write_census)


if "FAULT_PLAN" in os.environ:
    with open(os.environ["FAULT_PLAN"]) as _file:
        _plan = json.load(_file)
    SHIM = Shim(_plan)
    _install(_plan)
