"""The shim and the strict disk themselves: what they make of a few calls of a small program."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from tests.e2e.conftest import Desk

from .faulty import Fault, Faulty
from .strict_disk import StrictDisk, scattered

_WRITE = """
import os, sys
from pathlib import Path
out = Path(sys.argv[1])

def sync(folder):
    number = os.open(folder, os.O_RDONLY)
    os.fsync(number)
    os.close(number)

def file(path):
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb", buffering=0)

"""


def play(desk: Desk, script: str) -> str:
    """Runs the program in the desk's environment; what it said on stderr."""
    environment = {name: str(value) for name, value in desk.environment.items()}
    done = subprocess.run(
        [sys.executable, "-c", _WRITE + script, str(desk.out)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr.strip().rpartition("\n")[2]


def desk_at(folder: Path) -> Desk:
    desk = Desk(folder / "desk", "", ["+442079460000"])
    (desk.out / ".state").mkdir(parents=True)
    return desk


def after_the_cut(folder: Path, script: str, end: str = "gone") -> dict[str, bytes]:
    desk = desk_at(folder)
    faulty = Faulty(desk)
    disk = StrictDisk(desk.out, faulty.ledger, faulty.graveyard)
    (desk.out / "old").write_bytes(b"old")
    disk.begin()
    with faulty.installed(keeps_ledger=True):
        assert play(desk, script) == ""
    disk.lose_power(end, random.Random(1))
    files = (path for path in desk.out.rglob("*") if path.is_file())
    return {str(path.relative_to(desk.out)): path.read_bytes() for path in files}


def test_only_what_was_synced_is_kept(tmp_path: Path) -> None:
    script = (
        "f = file(out / 'a'); f.write(b'synced'); os.fdatasync(f.fileno()); f.write(b' not')\n"
        "g = file(out / 'b'); g.write(b'never')\n"
        "sync(out)\n"
        "h = file(out / 'c'); h.write(b'nameless'); os.fsync(h.fileno())\n"
    )
    assert after_the_cut(tmp_path, script) == {"old": b"old", "a": b"synced", "b": b""}


def test_a_folder_needs_its_parents_sync(tmp_path: Path) -> None:
    make = "p = out / '{0}'; p.mkdir(); f = file(p / 'a'); os.fsync(f.fileno()); sync(p)\n"
    script = make.format("kept") + "sync(out)\n" + make.format("lost")
    assert after_the_cut(tmp_path, script) == {"old": b"old", "kept/a": b""}


def test_renames_and_removals_are_undone(tmp_path: Path) -> None:
    script = (
        "f = file(out / 'new'); f.write(b'new'); os.fsync(f.fileno()); f.close()\n"
        "(out / 'new').replace(out / 'old')\n"
    )
    assert after_the_cut(tmp_path / "undone", script) == {"old": b"old"}
    assert after_the_cut(tmp_path / "done", script + "sync(out)\n") == {"old": b"new"}
    removal = "(out / 'old').unlink()\n"
    assert after_the_cut(tmp_path / "removed", removal) == {"old": b"old"}
    assert after_the_cut(tmp_path / "gone", removal + "sync(out)\n") == {}


def test_unsynced_ends(tmp_path: Path) -> None:
    script = (
        "f = file(out / 'a'); f.write(b'kept'); os.fsync(f.fileno()); sync(out); f.write(b'tail')"
    )
    assert after_the_cut(tmp_path / "zeros", script, "zeros")["a"] == b"kept\0\0\0\0"
    garbage = after_the_cut(tmp_path / "garbage", script, "garbage")["a"]
    assert garbage.startswith(b"kept")
    assert len(garbage) == 8
    assert garbage != b"kepttail"


def test_scattered_keeps_whole_pages() -> None:
    tail = b"x" * 20_000
    kept = scattered(100, tail, random.Random(3))
    assert len(kept) == len(tail)
    pages = {kept[:3996], *(kept[at : at + 4096] for at in range(3996, 16_000, 4096))}
    assert all(set(page) in ({0}, {ord("x")}) for page in pages)
    assert set(kept) == {0, ord("x")}


def test_the_nth_call_fails_in_its_place(tmp_path: Path) -> None:
    desk = desk_at(tmp_path)
    faulty = Faulty(desk)
    script = (
        "for name in ('x', '.state/a', '.state/b'):\n"
        "    f = file(out / name)\n"
        "    os.fsync(f.fileno())\n"
    )
    with faulty.installed(Fault("fsync", "state", 2, "ENOSPC")):
        assert "No space left on device" in play(desk, script)
        assert [Path(each.path).name for each in faulty.fired] == ["b"]
    with faulty.installed(Fault("open", "output", 2)):
        assert play(desk, script) == ""
        assert faulty.census == {"open output": 1, "open state": 2} | {
            "fsync output": 1,
            "fsync state": 2,
        }


def test_a_short_write_comes_before_the_error(tmp_path: Path) -> None:
    desk = desk_at(tmp_path)
    script = "f = file(out / 'a')\nwritten = f.write(b'12345678')\nf.write(b'rest')\n"
    with Faulty(desk).installed(Fault("write", "output", 1, "EDQUOT", short=True)):
        assert "Disk quota exceeded" in play(desk, script)
    assert (desk.out / "a").read_bytes() == b"1234"


def test_a_read_only_disk_can_be_read(tmp_path: Path) -> None:
    desk = desk_at(tmp_path)
    with Faulty(desk).installed(Fault("all", "any", 1, "EROFS")):
        assert play(desk, "sync(out)\n(out / 'x').exists()\n") == ""
        for change in ("file(out / 'a')", "(out / 'd').mkdir()", "(out / 'x').unlink()"):
            assert "Read-only file system" in play(desk, change)


def test_limits_are_set(tmp_path: Path) -> None:
    desk = desk_at(tmp_path)
    with Faulty(desk).installed(limits={"RLIMIT_NOFILE": 17}):
        asked = "import resource\nsys.exit(str(resource.getrlimit(resource.RLIMIT_NOFILE)))"
        assert play(desk, asked) == "(17, 17)"
