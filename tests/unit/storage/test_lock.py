from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import gethostname

import pytest

from batch_screen.errors import OutputError, RunLockedError
from batch_screen.storage.lock import alone, holder_of, in_turn, locked, shared

HOLDER = """
import sys, time
from pathlib import Path
from batch_screen.storage.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def another_process(state: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDER, str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()
            process.wait()


def test_one_run_a_state_folder(tmp_path: Path) -> None:
    with another_process(tmp_path) as holder:
        with (
            pytest.raises(
                RunLockedError, match=rf"process {holder.pid}, since 2\d{{3}}-.*wait"
            ) as caught,
            locked(tmp_path),
        ):
            pytest.fail("two held it")
        assert caught.value.exit_code == 75
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with locked(tmp_path):  # the kernel has freed it, whatever holder.json says
            held = json.loads((tmp_path / "holder.json").read_bytes())
            assert held["pid"] == os.getpid()
    assert not (tmp_path / "holder.json").exists()


def test_the_lock_can_be_taken_again_and_is_private(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path):
            assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
            assert (tmp_path / "holder.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks_is_refused_with_what_to_do(
    tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never without a lock: two runs at once would buy everything twice."""

    def flock(_file: int, _how: int) -> None:
        raise OSError(code, os.strerror(code))

    file = tmp_path / "file"
    file.touch()
    monkeypatch.setattr(fcntl, "flock", flock)
    for lock in (lambda: locked(tmp_path), lambda: shared(file, "x"), lambda: in_turn(tmp_path)):
        with pytest.raises(OutputError, match="use a local disk or block storage"), lock():
            pass


def test_an_error_inside_frees_the_lock(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("content", [None, b"", b"\xff", b"[]", b'{"pid": 1}', b"null"])
def test_a_holder_that_cannot_be_read_does_not_hide_the_lock(
    tmp_path: Path, content: bytes | None
) -> None:
    with locked(tmp_path):
        holder = tmp_path / "holder.json"
        holder.unlink()
        if content is not None:
            holder.write_bytes(content)
        with pytest.raises(RunLockedError, match="just started"), locked(tmp_path):
            pytest.fail("two held it")


def test_who_holds_a_folder_is_told_without_the_lock(tmp_path: Path) -> None:
    assert holder_of(tmp_path) is None
    with another_process(tmp_path) as process:
        found = holder_of(tmp_path)
        assert found is not None
        assert (found.pid, found.host, found.is_alive) == (process.pid, gethostname(), True)
        process.kill()
        process.wait()
        left = holder_of(tmp_path)
        assert left is not None
        assert left.is_alive is False
    with locked(tmp_path):  # to look has taken nothing
        pass
    assert holder_of(tmp_path) is None


def test_a_number_that_is_another_process_s_now_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    written = {"pid": os.getpid(), "since": "2026-11-23T00:00:00+00:00", "host": gethostname()}
    (tmp_path / "holder.json").write_text(json.dumps(written))
    found = holder_of(tmp_path)
    assert found is not None
    assert found.is_alive is False
    (tmp_path / "holder.json").write_text(json.dumps({**written, "host": "elsewhere"}))
    away = holder_of(tmp_path)
    assert away is not None
    assert away.is_alive is None


def test_readers_share_a_file_and_a_writer_is_alone_with_it(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    file.touch()
    with shared(file, "run X"), shared(file, "run X"):
        with (
            pytest.raises(RunLockedError, match="run X is being read") as raised,
            alone(file, "run X"),
        ):
            pass
        assert raised.value.exit_code == 75
    with (
        alone(file, "run X"),
        pytest.raises(RunLockedError, match="run X is being removed or written anew"),
        shared(file, "run X"),
    ):
        pass
    file.chmod(0o400)
    with shared(file, "run X"):
        pass
    with pytest.raises(OutputError, match="cannot lock"), shared(tmp_path / "gone", "run X"):
        pass


def test_what_fails_while_a_file_is_held_is_not_about_the_lock(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    file.touch()
    with pytest.raises(FileNotFoundError), shared(file, "run X"):
        (tmp_path / "gone").read_bytes()
