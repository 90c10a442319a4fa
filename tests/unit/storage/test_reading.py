from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import BinaryIO

import msgspec
import pytest

from batch_screen.errors import OutputError
from batch_screen.storage import reading
from batch_screen.storage.atomic import sha256_of, translated
from batch_screen.storage.lock import shared
from batch_screen.storage.parquet import metadata_of, read_parquet, scan_parquet
from batch_screen.storage.reading import (
    OddFileError,
    bounded_lines,
    decoded,
    decoded_lines,
    open_regular,
    read_bytes,
    read_json,
    read_small,
)


class Thing(msgspec.Struct):
    n: int


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
    with pytest.raises(OSError, match="no process writes to this pipe"):
        read_small(pipe, 4096)


def test_a_silent_writer_is_not_waited_for_ever(
    pipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_WAIT_SECONDS", 0.05)
    writer = os.open(pipe, os.O_RDWR)
    with pytest.raises(TimeoutError, match="it delivered nothing"):
        read_small(pipe, 4096)
    os.close(writer)


def test_a_pipe_in_the_place_of_a_file_is_refused_at_once(pipe: Path) -> None:
    """Whoever opened it would wait for a writer for ever, signals or not."""
    readers = (
        open_regular,
        read_bytes,
        sha256_of,
        metadata_of,
        read_parquet,
        lambda path: scan_parquet([path]),
        lambda path: read_json(path, Thing),
    )
    for read in readers:
        with pytest.raises(OddFileError, match="it is not a regular file"):
            read(pipe)
    with pytest.raises(OutputError, match="move away what is in its place"), shared(pipe, "it"):
        pass


def test_devices_folders_and_sockets_are_no_files(tmp_path: Path) -> None:
    for path in (Path("/dev/null"), Path("/dev/zero"), Path("/dev/tty")):
        with pytest.raises(OSError, match=r"not a regular file|No such device"):
            read_bytes(path)
    with pytest.raises(IsADirectoryError):
        read_bytes(tmp_path)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OSError, match="symbolic links"):
        read_bytes(tmp_path / "loop")


def test_long_lines_come_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b"a\n" + bytes(5 << 19) + b"\nb")
    with open_regular(tmp_path / "lines") as file:
        found = list(bounded_lines(file))
    assert [len(line) for line in found] == [2, *10 * [1 << 18], 1, 1]


def test_a_sparse_file_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with path.open("wb") as file:
        file.truncate(1 << 44)
    with (
        pytest.raises(OutputError, match="larger than 32 MiB; move away"),
        translated("read", path),
    ):
        read_json(path, Thing)


@pytest.mark.parametrize(
    "content",
    [
        b'{"n":' + b"[" * 100_000,
        b'{"m":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
        b'{"n":' + b"9" * 5_000 + b"}",
        b'{"n":1e999}',
        b"\xff\xfe{",
        b"\0" * 4_096,
        b"",
    ],
)
def test_what_nobody_can_decode_is_damage(content: bytes) -> None:
    for kind in (Thing, dict[str, int]):
        with pytest.raises(ValueError, match=r"."):
            decoded(content, kind)
    with pytest.raises(ValueError, match=r"."):
        decoded_lines(content or b"{}", Thing)


def test_a_signal_while_it_is_opened_stays_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(descriptor: int, mode: str) -> BinaryIO:
        os.close(descriptor)  # as io.open does once the file is its own
        raise SystemExit(143)

    (tmp_path / "file").touch()
    monkeypatch.setattr(os, "fdopen", interrupted)
    with pytest.raises(SystemExit):
        open_regular(tmp_path / "file")
