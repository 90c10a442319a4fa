"""State that somebody damaged: refused by name, never used in silence, never deleted."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import signal
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from batch_screen.sandbox.latency import Latency
from batch_screen.sandbox.run import SandboxThread
from tests.e2e.conftest import DAY, Desk, new_sandbox
from tests.thoroughness import in_full

from .conftest import CELLS, ENDPOINTS, QUICK, SEVERAL_SHARDS, Size, full_sizes
from .figures import Figures, Measure
from .judge import Asked, judge_lookups, read_state
from .leaks import leaks
from .met import CANNOT_WRITE, problem_of
from .trial import wait_until

_CELLS = CELLS[:1100]
"""Three shards."""
_OTHER_DAY = "2026-03-03"
_LATENCY = Latency(seconds=0.005)


@dataclass
class Half:
    """A run that was stopped when two of its shards were sealed, and one of another date."""

    server: SandboxThread
    out: Path
    other: Path


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Half]:
    folder = tmp_path_factory.mktemp("half")
    with new_sandbox(latency=_LATENCY) as server:
        outs = [_stopped(folder / day, server, day) for day in (DAY, _OTHER_DAY)]
        yield Half(server, *outs)


def desk_at(folder: Path, server: SandboxThread) -> Desk:
    return Desk(folder, server.url, _CELLS, SEVERAL_SHARDS, (*ENDPOINTS, "--rate", "2000"))


def _stopped(folder: Path, server: SandboxThread, day: str) -> Path:
    desk = desk_at(folder, server)

    def is_half_done() -> bool:
        run = ".state/runs/*/"
        sealed = list(desk.out.glob(run + "sealed/*.seal"))
        return len(sealed) == 2 and any(desk.out.glob(run + "journal/00002-*"))

    with desk.started("--run-date", day, "--rate", "1500") as running:
        assert wait_until(is_half_done)
        assert running.end(signal.SIGTERM).code == 143
    assert is_half_done()
    return desk.out


Change = Callable[[Path, Path, random.Random], Path]
"""Damages the run in the first folder, perhaps with files of the second; returns what to name."""


def scrambled(pattern: str) -> Change:
    def change(run: Path, other: Path, draw: random.Random) -> Path:
        path = next(run.glob(pattern))
        path.write_bytes(draw.randbytes(path.stat().st_size))
        return path

    return change


def flipped(pattern: str) -> Change:
    """One bit in the first half, or the end of a journal would look torn by a crash."""

    def change(run: Path, other: Path, draw: random.Random) -> Path:
        path = next(run.glob(pattern))
        content = bytearray(path.read_bytes())
        content[draw.randrange(len(content) // 2)] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        return path

    return change


def missing(pattern: str) -> Change:
    def change(run: Path, other: Path, draw: random.Random) -> Path:
        path = next(run.glob(pattern))
        path.unlink()
        return path

    return change


def renamed(one: str, two: str) -> Change:
    def change(run: Path, other: Path, draw: random.Random) -> Path:
        return (run / one).rename(run / two).with_name(Path(one).name)

    return change


def swapped(one: str, two: str) -> Change:
    def change(run: Path, other: Path, draw: random.Random) -> Path:
        first, second = (run / name for name in (one, two))
        content = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(content)
        return first.parent  # either file may be named

    return change


def swapped_with_seals(run: Path, other: Path, draw: random.Random) -> Path:
    swapped("sealed/00000.parquet", "sealed/00001.parquet")(run, other, draw)
    return swapped("sealed/00000.seal", "sealed/00001.seal")(run, other, draw)


def foreign(name: str, target: str | None = None) -> Change:
    def change(run: Path, other: Path, draw: random.Random) -> Path:
        place = run / (target or name)
        shutil.copyfile(next(other.glob(name)), place)
        return place

    return change


def foreign_sealed(run: Path, other: Path, draw: random.Random) -> Path:
    foreign("sealed/00000.parquet")(run, other, draw)
    return foreign("sealed/00000.seal")(run, other, draw)


def joined(run: Path, other: Path, draw: random.Random) -> Path:
    mine, theirs = (next(each.glob("journal/00002-*")) for each in (run, other))
    mine.write_bytes(mine.read_bytes() + theirs.read_bytes())
    return mine


def newer_run(run: Path, other: Path, draw: random.Random) -> Path:
    path = run / "run.json"
    content = json.loads(path.read_bytes())["content"]
    content["made"]["version"] += 1
    text = json.dumps(content, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(f'{{"sha256":"{digest}","content":{text}}}\n')
    return path


def newer_segment(run: Path, other: Path, draw: random.Random) -> Path:
    path = next(run.glob("journal/00002-*"))
    first, rest = path.read_bytes().split(b"\n", 1)
    header = json.loads(first[9:])
    header["version"] += 1
    text = json.dumps(header, separators=(",", ":")).encode()
    path.write_bytes(b"%08x %s\n%s" % (zlib.crc32(text), text, rest))
    return path


_SEGMENT = "journal/00002-*"
DAMAGE: dict[str, Change] = {
    "run.json scrambled": scrambled("run.json"),
    "run.json flipped": flipped("run.json"),
    "run.json missing": missing("run.json"),
    "run.json newer": newer_run,
    "run.json foreign": foreign("run.json"),
    "plan.json scrambled": scrambled("plan/plan.json"),
    "plan.json flipped": flipped("plan/plan.json"),
    "plan.json missing": missing("plan/plan.json"),
    "rows scrambled": scrambled("plan/rows-00002.parquet"),
    "rows flipped": flipped("plan/rows-00002.parquet"),
    "rows swapped": swapped("plan/rows-00000.parquet", "plan/rows-00002.parquet"),
    "rows missing": missing("plan/rows-00002.parquet"),
    "sealed rows flipped": flipped("plan/rows-00000.parquet"),
    "rejects flipped": flipped("plan/rejects.parquet"),
    "rejects missing": missing("plan/rejects.parquet"),
    "segment scrambled": scrambled(_SEGMENT),
    "segment flipped": flipped(_SEGMENT),
    "segment newer": newer_segment,
    "segment foreign": foreign(_SEGMENT, "journal/00002-00007.journal"),
    "segments joined": joined,
    "sealed scrambled": scrambled("sealed/00000.parquet"),
    "sealed flipped": flipped("sealed/00001.parquet"),
    "sealed missing": missing("sealed/00000.parquet"),
    "sealed swapped": swapped("sealed/00000.parquet", "sealed/00001.parquet"),
    "sealed and seals swapped": swapped_with_seals,
    "sealed foreign": foreign_sealed,
    "seal scrambled": scrambled("sealed/00000.seal"),
    "seal missing": missing("sealed/00000.seal"),
    "start scrambled": scrambled("sessions/0001.json"),
    "start flipped": flipped("sessions/0001.json"),
    "start foreign": foreign("sessions/0001.json"),
    "start renamed": renamed("sessions/0001.json", "sessions/0002.json"),
}
_SMALL = ["sealed swapped", "segment foreign", "run.json newer", "start flipped"]


def _named(desk: Desk, path: Path) -> str:
    return str(path.relative_to(desk.out))


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("lock", "holder.json", "progress.json")
    }


def lost_or_changed(before: dict[str, bytes], folder: Path) -> list[str]:
    """Files that are not as they were.

    The summary of a run that is not complete tells of this, and so do lines that its lineage got.
    """
    after = bytes_of(folder)
    return [
        name
        for name, content in before.items()
        if after.get(name) != content
        and not (name in after and _tells_of_a_stop(folder / name))
        and not (name.endswith("openlineage.ndjson") and after.get(name, b"").startswith(content))
    ]


def _tells_of_a_stop(path: Path) -> bool:
    return path.name == "summary.json" and not path.with_name("_SUCCESS").exists()


_SIZED = [pytest.param(name, QUICK, id=f"{name}-quick", marks=in_full) for name in _SMALL]
_FIRST = full_sizes()[0]  # what is damaged does not depend on the seed, only which bit is
_SIZED += [
    pytest.param(name, _FIRST, id=f"{name}-full", marks=pytest.mark.torture) for name in DAMAGE
]


@pytest.mark.parametrize(("damage", "size"), _SIZED)
def test_damaged_state(
    tmp_path: Path, size: Size, damage: str, half: Half, settle: Callable[[Figures], None]
) -> None:
    desk = desk_at(tmp_path, half.server)
    shutil.copytree(half.out, desk.out)
    run, other = (next(out.glob(".state/runs/*")) for out in (desk.out, half.other))
    named = DAMAGE[damage](run, other, random.Random(f"{size.seed} {damage}"))
    before, sent = bytes_of(desk.out), _requests(half)
    refused = desk.run()
    problem = problem_of(refused.code, refused.err, [CANNOT_WRITE], _named(desk, named))
    bought = _requests(half) - sent
    changed = lost_or_changed(before, desk.out)
    shutil.rmtree(desk.out)
    shutil.copytree(half.out, desk.out)  # as from a backup
    examples = [f"{damage}: {problem}"] * bool(problem) + [f"{damage}: changed {changed}"]
    settle(
        end(
            "state damaged",
            size,
            desk,
            half.server,
            saved=read_state(desk.out / ".state").saved,
            examples=examples if problem or changed else [],
            measures=[
                Measure("used, or no clear line", bool(problem), 0),
                Measure("bought with it", bought, 0),
                Measure("files changed or deleted", len(changed), 0),
            ],
        )
    )


_PLACES = ["journal", "sealed", "sessions", "plan", ""]
_ONE_BY_ONE = [
    pytest.param([place], id=place or "run", marks=pytest.mark.torture) for place in _PLACES
]


@pytest.mark.parametrize(
    "places", [pytest.param(_PLACES, id="everywhere", marks=in_full), *_ONE_BY_ONE]
)
def test_strangers_files_stay(
    tmp_path: Path, places: list[str], half: Half, settle: Callable[[Figures], None]
) -> None:
    desk = desk_at(tmp_path, half.server)
    shutil.copytree(half.out, desk.out)
    saved = read_state(desk.out / ".state").saved
    run = next(desk.out.glob(".state/runs/*"))
    names = ["notes.txt", "x.journal", "00002-0.journal", "copy of 00000.seal", "00000.parquet.bak"]
    strangers = [run / place / name for place in places for name in names]
    for path in strangers:
        path.write_bytes(path.name.encode())
    figures = end("strangers' files", QUICK, desk, half.server, saved=saved)
    assert [path.read_bytes() for path in strangers] == [p.name.encode() for p in strangers]
    settle(figures)


def end(
    scenario: str,
    size: Size,
    desk: Desk,
    server: SandboxThread,
    *,
    saved: frozenset[Asked],
    examples: list[str] | None = None,
    measures: list[Measure] | None = None,
) -> Figures:
    """Resumes the run to its end; the figures of that."""
    sent = server.statistics()["requests"]
    done = desk.run()
    assert done.code == 0, done.err
    numbers = {cell for cell in desk.cells if cell.startswith("+")}
    expected = [Asked(number, name) for number in numbers for name in ENDPOINTS[1].split(",")]
    found = list(leaks(desk.out, []))
    return Figures(
        scenario,
        (size.seed,),
        faults=1,
        starts=2,
        bought_after_saved=max(
            0, server.statistics()["requests"] - sent - (len(expected) - len(saved))
        ),
        leaks=len(found),
        measures=tuple(measures or []),
        examples=(*(examples or []), *found[:3]),
        **judge_lookups(desk.latest.frame("lookups"), expected, server.world),
    )


def _requests(half: Half) -> int:
    requests: int = half.server.statistics()["requests"]
    return requests
