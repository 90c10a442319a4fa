"""Starts the command: warm, as a fork of a process that has loaded it already, or cold.

To load Python, polars and the rest takes ten times the CPU of a short command. A fork has all
that most tests look at of its own: process, streams, environment, folder, umask, signals, exit
code, memory. It does not show how Python begins, what is loaded when, and the command line as
the system tells it; tests of those start it cold, as users do. TESTS_IN_FULL=1 makes all
starts cold.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tests.thoroughness import IS_FULL

_SERVER = Path(__file__).with_name("warm_server.py")
_ROOM_OF_A_PIPE = 65_536
_MOST_SECONDS = 60

_lock = threading.Lock()
_server: _Server | None = None


def begin(
    command: Sequence[str],
    *,
    stdout: IO[bytes],
    stderr: IO[bytes],
    env: Mapping[str, str],
    cwd: Path | None = None,
    is_cold: bool = False,
) -> subprocess.Popen[bytes] | WarmProcess:
    """The command, running; it has nothing to read."""
    with Path(os.devnull).open("rb") as stdin:
        if is_cold or _starts_cold(env):
            return subprocess.Popen(
                command, stdin=stdin, stdout=stdout, stderr=stderr, env=env, cwd=cwd
            )
        streams = [stream.fileno() for stream in (stdin, stdout, stderr)]
        return WarmProcess(command, streams, env=env, cwd=cwd)


def complete(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    stdin: bytes = b"",
    umask: int = -1,
    cwd: Path | None = None,
    is_cold: bool = False,
) -> subprocess.CompletedProcess[bytes]:
    """The command's end, as ``subprocess.run`` tells it. Without ``umask`` it has the tests'."""
    if is_cold or _starts_cold(env):
        return subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            env=env,
            umask=umask,
            cwd=cwd,
            timeout=_MOST_SECONDS,
            check=False,
        )
    assert len(stdin) < _ROOM_OF_A_PIPE, "it would have to be fed"
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        reading, writing = os.pipe()
        os.write(writing, stdin)
        os.close(writing)
        try:
            streams = [reading, stdout.fileno(), stderr.fileno()]
            process = WarmProcess(command, streams, env=env, cwd=cwd, umask=umask)
        finally:
            os.close(reading)
        with process:
            code = process.wait(_MOST_SECONDS)
        for stream in (stdout, stderr):
            stream.seek(0)
        return subprocess.CompletedProcess(list(command), code, stdout.read(), stderr.read())


def _starts_cold(env: Mapping[str, str]) -> bool:
    """Whether Python itself reads the environment, or all starts shall be cold."""
    return "PYTHONPATH" in env or IS_FULL


class WarmProcess:
    """As much of ``subprocess.Popen`` as the tests need; killed if it outlives a ``with``.

    Streams are three descriptors. ``peak_mib`` is the most memory it had, once it has ended.
    """

    def __init__(
        self,
        command: Sequence[str],
        streams: Sequence[int],
        *,
        env: Mapping[str, str],
        cwd: Path | None = None,
        umask: int = -1,
    ) -> None:
        request = {
            "command": list(command),
            "environment": dict(env),
            "folder": str(cwd or Path.cwd()),
            "umask": _umask() if umask < 0 else umask,
        }
        reports, report = os.pipe()
        try:
            _running_server().begin(request, [*streams, report])
        finally:
            os.close(report)
        self._command = list(command)
        self._reports = os.fdopen(reports, "rb", buffering=0)
        (self.pid,) = self._report()
        self.returncode: int | None = None
        self.peak_mib = 0.0

    def poll(self) -> int | None:
        return self._look(0)

    def wait(self, timeout: float = _MOST_SECONDS) -> int:
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self._command, timeout)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        self.wait()

    def _look(self, seconds: float) -> int | None:
        if self.returncode is None:
            ready = select.poll()
            ready.register(self._reports, select.POLLIN)
            if ready.poll(seconds * 1000):
                self.returncode, peak_kib = self._report()
                self.peak_mib = peak_kib / 1024
                self._reports.close()
        return self.returncode

    def _report(self) -> list[int]:
        line = self._reports.readline()
        assert line, f"warm_server.py has ended: {_running_server().last_words}"
        return [int(word) for word in line.split()]


class _Server:
    """The process that is forked; it ends when this one does."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", _SERVER, str(theirs.fileno())],
                stdin=subprocess.PIPE,  # streams that are no files, as the command's mostly are
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
                pass_fds=[theirs.fileno()],
                process_group=0,  # an interrupt of the tests is none of the commands'
            )
        atexit.register(self._end)

    def begin(self, request: dict[str, Any], descriptors: Sequence[int]) -> None:
        socket.send_fds(self._control, [json.dumps(request).encode()], descriptors)

    @property
    def last_words(self) -> str:
        _, said = self._process.communicate(timeout=_MOST_SECONDS)
        return said.decode()

    def _end(self) -> None:
        self._control.close()
        self._process.communicate(timeout=_MOST_SECONDS)


def _running_server() -> _Server:
    global _server  # noqa: PLW0603 (one for all tests of a worker, begun with the first command)
    with _lock:
        _server = _server or _Server()
        return _server


def _umask() -> int:
    """Read and not set, for other threads make files meanwhile."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)
