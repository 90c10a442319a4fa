"""Makes the recorded runs anew: ``python -m tests.golden.make_fixtures``, then record.

They are made by the program of their time, and read by all later ones. Make them again only where
an intended change keeps a run of before from being read: all their times and ids will be others.
``night`` is a complete run, ``killed`` one that SIGKILL ended half-way.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from .lists import CUSTOMERS, column
from .scenes.nights import NIGHT
from .scenes.trouble import DATED, KILLED, KILLED_NUMBERS, KILLED_SETTINGS
from .stage import COMMAND, FIXTURES, ROOT, Stage
from .steady import FIXTURES_MADE

_WORKSHOP = Path("/tmp/golden-fixtures")  # a run records where its lists lay
_SHIM = ROOT / "tests" / "torture" / "shim"
_MOST_SECONDS = 60
_TORN_BYTES = 40


def main() -> None:
    for name, make in {"night": _night, "killed": _killed}.items():
        folder = _WORKSHOP / name
        folder.mkdir(parents=True)
        stage = Stage(name, folder)
        make(stage)
        _pack(stage.folder / "out", FIXTURES / f"{name}.tar.gz")
        shutil.rmtree(_WORKSHOP)
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


def _pack(folder: Path, to: Path) -> None:
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
