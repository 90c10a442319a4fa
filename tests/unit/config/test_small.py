from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from batch_screen.config import small
from batch_screen.config.small import read_small


@pytest.mark.parametrize("size", [0, 1, 4096])
def test_the_whole_file(tmp_path: Path, size: int) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a" * size)
    assert read_small(path, 4096) == b"a" * size


@pytest.mark.parametrize("path", ["large", "/dev/zero"])
def test_too_large_is_an_error(tmp_path: Path, path: str) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="it is larger than 4 KiB"):
        read_small(tmp_path / path, 4096)


def test_a_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        read_small(tmp_path, 4096)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def test_a_pipe_is_read_to_its_end(pipe: Path) -> None:
    """As a shell's <(…) gives it: the writer is there, its words come later."""
    writer = os.open(pipe, os.O_RDWR)

    def write() -> None:
        for word in (b"a ", b"key"):
            os.write(writer, word)
        os.close(writer)

    late = threading.Timer(0.05, write)
    late.start()
    assert read_small(pipe, 4096) == b"a key"
    late.join()


def test_a_pipe_that_nobody_writes_to_is_not_waited_for(pipe: Path) -> None:
    with pytest.raises(OSError, match="nobody writes to this pipe"):
        read_small(pipe, 4096)


def test_a_silent_writer_is_not_waited_for_ever(
    pipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small, "_WAIT_SECONDS", 0.05)
    writer = os.open(pipe, os.O_RDWR)
    with pytest.raises(TimeoutError, match="nothing came out of it"):
        read_small(pipe, 4096)
    os.close(writer)
