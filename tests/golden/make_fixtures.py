"""Makes the recorded runs anew: ``python -m tests.golden.make_fixtures``, then record.

A folder may be named to make them in; without one it is a temporary one. They are made by the
program of their time, and read by all later ones. Make them again only where an intended change
keeps a run of before from being read: all their times and ids will be others. ``night`` is a
complete run, ``killed`` one that SIGKILL ended half-way.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import tarfile
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from .lists import CUSTOMERS, column
from .scenes.nights import NIGHT
from .scenes.trouble import DATED, KILLED, KILLED_NUMBERS, KILLED_SETTINGS
from .stage import COMMAND, FIXTURES, ROOT, Stage
from .steady import FIXTURES_MADE

_SHIM = ROOT / "tests" / "torture" / "shim"
_MOST_SECONDS = 60
_TORN_BYTES = 40
_LISTS = "/lists"
"""Where the packed runs say that their lists lay, whichever folder they were made in."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.golden.make_fixtures")
    parser.add_argument("folder", nargs="?", type=Path, help="to make the runs in, kept afterwards")
    given: Path | None = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as temporary:
        for name, make in {"night": _night, "killed": _killed}.items():
            folder = (given or Path(temporary)) / name
            folder.mkdir(parents=True)
            stage = Stage(name, folder)
            make(stage)
            _say_that_lists_lay_elsewhere(stage.folder)
            _pack(stage.folder / "out", FIXTURES / f"{name}.tar.gz")
            print(f"wrote {name}.tar.gz")


def _night(stage: Stage) -> None:
    """A complete run by a clock that stands at an evening: windows of the night after differ."""
    stage.write("customers.csv", CUSTOMERS)
    evening = FIXTURES_MADE[0] + timedelta(seconds=37)
    offset = (evening - datetime.now(UTC)).total_seconds()
    plan = {
        "roots": {},
        "faults": [],
        "clock": {"seed": 0, "every": 1, "offsets": [offset]},
        "limits": {},
        **dict.fromkeys(("ledger", "graveyard", "fired", "census"), ""),
    }
    path = stage.folder / "plan.json"
    path.write_text(json.dumps(plan), "utf-8")
    shim = {"PYTHONPATH": str(_SHIM), "FAULT_PLAN": str(path)}
    # Slow enough for a rate and a pace to be told.
    slowly = {"BATCH_SCREEN_PACING__RATE_PER_SECOND": "60"}
    stage.run(*NIGHT, environment={**shim, **slowly})
    assert (stage.folder / "out" / "latest.json").exists(), stage.close()["commands.txt"]


def _killed(stage: Stage) -> None:
    """A run that is killed with one shard sealed and another begun."""
    stage.write("list.csv", column(*KILLED_NUMBERS))
    settings = stage.write("killed.toml", KILLED_SETTINGS)
    slowly = {"BATCH_SCREEN_PACING__RATE_PER_SECOND": "400"}
    where = ("--config", settings, "--out", "out", *DATED, "--sandbox")
    with subprocess.Popen(
        [str(COMMAND), "run", *KILLED, *where],
        cwd=stage.folder,
        env={**stage.environment, **slowly},
    ) as process:
        deadline = time.monotonic() + _MOST_SECONDS
        while not _is_half_done(stage.folder / "out"):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.005)
        process.kill()
    # An answer that was under way: what a kill loses, only by less chance.
    [journal] = (stage.folder / "out").glob(".state/runs/*/journal/*")
    journal.write_bytes(journal.read_bytes()[:-_TORN_BYTES])


def _is_half_done(out: Path) -> bool:
    sealed = [*out.glob(".state/runs/*/sealed/*.seal")]
    begun = sum(p.read_bytes().count(b"outcome") for p in out.glob(".state/runs/*/journal/*"))
    return bool(sealed) and begun > 100


def _say_that_lists_lay_elsewhere(folder: Path) -> None:
    """A run notes the folder of its lists, which is this machine's, under a digest."""
    [path] = (folder / "out").glob(".state/runs/*/run.json")
    was = path.stat()
    before, sep, content = path.read_bytes().removesuffix(b"}\n").partition(b'"content":')
    moved = content.replace(f"{folder}/".encode(), f"{_LISTS}/".encode())
    old, new = (hashlib.sha256(each).hexdigest().encode() for each in (content, moved))
    assert old in before
    path.write_bytes(before.replace(old, new) + sep + moved + b"}\n")
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))


def _pack(folder: Path, to: Path) -> None:
    """An output folder, as ``Stage.unpack`` lays it out again."""
    to.parent.mkdir(exist_ok=True)
    with tarfile.open(to, "w:gz") as packed:
        for path in sorted(folder.rglob("*")):
            packed.add(path, path.relative_to(folder), recursive=False, filter=_nobodys)


def _nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    main()
