from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO, FileIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from batch_screen.errors import OutputError
from batch_screen.storage import atomic
from batch_screen.storage.atomic import (
    GROUP_FOLDER_MODE,
    atomic_write,
    check_could_write,
    check_writable,
    exchange_folders,
    finish_exchange,
    make_folder,
    open_private,
    sweep,
    sync_folder,
    translated,
    write_atomically,
    write_frame,
)


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    """Modes must not depend on what the shell happens to be set to."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_are_private_with_their_parents(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    made = make_folder(tmp_path / "a" / "b")
    assert made == tmp_path / "a" / "b"
    assert [mode(p) for p in (made, made.parent, tmp_path)] == [0o700, 0o700, 0o755]
    made.chmod(0o750)
    assert mode(make_folder(made)) == 0o750  # what was there keeps its mode


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is not a folder; name another one"):
        make_folder(tmp_path / "file")
    with pytest.raises(OutputError, match=r"cannot create the folder .*Not a directory"):
        make_folder(tmp_path / "file" / "below")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="is not a folder"):
        make_folder(tmp_path / "dangling")


@pytest.mark.parametrize("umask", [0, 0o077, 0o777])
def test_files_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    os.umask(umask)
    with open_private(tmp_path / "file") as file:
        assert mode(tmp_path / "file") == 0o600
        file.write(b"x")
        assert (tmp_path / "file").read_bytes() == b"x"  # a write is a write


def test_a_private_file_is_new(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"theirs")
    with pytest.raises(FileExistsError):
        open_private(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"theirs"


def test_whole_appears_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic_write(path) as file:
        file.write(b"new")
        assert not path.exists()
        assert len(list(tmp_path.iterdir())) == 1
    assert path.read_bytes() == b"new"
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError("bug"), KeyboardInterrupt()])
def test_whole_leaves_the_old_file_when_interrupted(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def interrupted() -> None:
        with atomic_write(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(type(error)):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_whole_grows_elsewhere_where_readers_take_all_they_see(tmp_path: Path) -> None:
    staging = make_folder(tmp_path / "staging")
    data = make_folder(tmp_path / "data")
    with atomic_write(data / "part", staging=staging) as file:
        file.write(b"x")
        assert not list(data.iterdir())
    assert [p.name for p in data.iterdir()] == ["part"]
    assert not list(staging.iterdir())


def test_whole_syncs_file_then_renames_then_syncs_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "file", []

    def fsync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        seen.append((kind, path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomically(path, b"x")
    assert seen == [("file", False), ("folder", True)]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_save_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if failing == "fsync" else (Path, "replace")), full)
    with pytest.raises(OutputError, match=r"cannot write .*: No space left .*what was saved") as e:
        write_atomically(tmp_path / "file", b"x")
    assert e.value.exit_code == 73
    assert not list(tmp_path.iterdir())


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*file: No such file"):
        write_atomically(tmp_path / "nowhere" / "file", b"x")


def test_what_is_no_file_is_left_as_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="pipe: it is not a regular file"):
        write_atomically(tmp_path / "pipe", b"x")
    assert (tmp_path / "pipe").is_fifo()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_path_that_is_too_long(tmp_path: Path) -> None:
    too_long = tmp_path / "/".join(["n" * 200] * 25)
    for check in (check_could_write, check_writable):
        with pytest.raises(OutputError, match="name a shorter path"):
            check(too_long)


def test_check_writable_leaves_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no folder that even root cannot write")
def test_check_writable_refuses() -> None:
    with pytest.raises(OutputError, match="cannot write to /proc/self"):
        check_writable(Path("/proc/self"))


def test_sync_folder_wants_a_folder(tmp_path: Path) -> None:
    sync_folder(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        sync_folder(tmp_path / "file")


def test_errors_without_words_are_named_by_their_class() -> None:
    with (
        pytest.raises(OutputError, match="cannot write x: TimeoutError"),
        translated("write", Path("x")),
    ):
        raise TimeoutError


def test_only_unfinished_files_of_ours_are_swept_away(tmp_path: Path) -> None:
    ours = [".latest.json.0123abcd.tmp", ".0123abcd.tmp", "..x.0123abcd.tmp"]
    theirs = ["latest.json", "x.0123abcd.tmp", ".notes.tmp", ".a.0123abcg.tmp", ".0123abcd.tmp.gz"]
    for name in ours + theirs:
        (tmp_path / name).touch()
    sweep(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(theirs)


def test_new_folders_are_on_disk_with_their_parents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(atomic, "sync_folder", synced.append)
    make_folder(tmp_path / "a" / "b")
    assert synced == [tmp_path, tmp_path / "a"]


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free space"),
        (errno.EROFS, "fix permissions"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EIO, "check the disk"),
    ],
)
def test_the_remedy_fits_the_error(tmp_path: Path, number: int, remedy: str) -> None:
    with pytest.raises(OutputError, match=remedy), translated("write", tmp_path):
        raise OSError(number, os.strerror(number))


def test_a_disk_that_takes_a_part_of_a_write_is_written_to_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stingy(FileIO):
        def write(self, content: Any, /) -> int:
            return super().write(bytes(content)[:10])

    def open_stingy(path: Path) -> FileIO:
        return Stingy(path, "xb")

    monkeypatch.setattr(atomic, "open_private", open_stingy)
    write_atomically(tmp_path / "file", bytes(range(256)) * 9)
    assert (tmp_path / "file").read_bytes() == bytes(range(256)) * 9


def test_whether_a_folder_could_be_made_is_found_out_without_making_it(tmp_path: Path) -> None:
    check_could_write(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").touch()
    with pytest.raises(OutputError, match="a is not a folder"):
        check_could_write(tmp_path / "a" / "b")


FRAME = pl.DataFrame({"e164": ["+447700900123"]})


def test_a_frame_is_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    write_frame(path, FRAME, compression="snappy")
    assert pl.read_parquet(path).equals(FRAME)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("rows", [1, 20_000], ids=["at the last flush", "on the way"])
def test_a_full_disk_is_told_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, rows: int
) -> None:
    class Full(BytesIO):
        def write(self, content: Any, /) -> int:
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(atomic, "open_private", lambda _path: Full())
    frame = pl.select(e164=pl.int_range(rows).cast(pl.String))
    with pytest.raises(OutputError, match=rf"rows\.parquet: {os.strerror(code)}; ") as caught:
        write_frame(tmp_path / "rows.parquet", frame)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == code
    assert list(tmp_path.iterdir()) == []


def test_rows_at_fault_are_no_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object, **__: object) -> None:
        raise pl.exceptions.ComputeError("not a type")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", wrong)
    with pytest.raises(pl.exceptions.ComputeError):
        write_frame(tmp_path / "rows.parquet", FRAME)


@pytest.mark.parametrize("has_call", [True, False])
def test_folders_are_exchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_call: bool
) -> None:
    one, other = (make_folder(tmp_path / name) for name in ("run", ".run.anew"))
    (one / "old").touch()
    (other / "new").touch()
    if not has_call:
        monkeypatch.setattr(atomic.ctypes, "CDLL", lambda _: object())
    exchange_folders(one, other)
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert names == {"run", "run/new", ".run.anew", ".run.anew/old"}
    with pytest.raises(OutputError, match="cannot exchange"):
        exchange_folders(tmp_path / "gone", other)


@pytest.mark.parametrize("done", [1, 2, 3])
def test_a_killed_exchange_can_be_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    one, other = (make_folder(tmp_path / name) for name in ("run", ".run.anew"))
    (one / "old").touch()
    (other / "new").touch()
    renames, rename = iter(range(3)), Path.rename

    def killed(path: Path, target: Path) -> Path:
        if next(renames) == done:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(atomic.ctypes, "CDLL", lambda _: object())
    with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
        patched.setattr(Path, "rename", killed)
        exchange_folders(one, other)
    for _ in range(2):  # once more changes nothing
        finish_exchange(one, other)
        names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
        theirs = ("old", "new") if done == 1 else ("new", "old")
        assert names == {"run", f"run/{theirs[0]}", ".run.anew", f".run.anew/{theirs[1]}"}


def test_a_folder_is_opened_to_its_group_and_never_closed(tmp_path: Path) -> None:
    made = make_folder(tmp_path / "a" / "b", GROUP_FOLDER_MODE)
    assert mode(made) == mode(made.parent) == 0o2750
    assert mode(make_folder(made)) == 0o2750
    closed = make_folder(tmp_path / "c")
    assert mode(closed) == 0o700
    closed.chmod(0o705)  # somebody's own choice
    assert mode(make_folder(closed, GROUP_FOLDER_MODE)) == 0o2755
