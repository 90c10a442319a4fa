"""Calls that fail at a chosen moment: one line, nothing more is bought, a resume ends it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batch_screen.sandbox.latency import Latency
from tests.e2e.conftest import Desk, new_sandbox
from tests.thoroughness import in_full

from .conftest import CELLS, ENDPOINTS, FEW_CELLS, QUICK, SEVERAL_SHARDS, Size, Undisturbed, sized
from .faulty import FOREVER, Fault, Faulty
from .figures import Figures, combine
from .met import CANNOT_WRITE, problem_of, resume
from .trial import Trial

_LATENCY = Latency(seconds=0.005, upto_seconds=0.02)
_CALLS = {
    "write": ["EIO", "ENOSPC", "EDQUOT"],
    "fsync": ["EIO", "ENOSPC", "EDQUOT"],
    "rename": ["EIO", "ENOSPC"],
    "mkdir": ["ENOSPC", "EACCES"],
    "open": ["EMFILE", "ENFILE", "ENOSPC"],
    "unlink": ["EIO", "EROFS"],
}
_PLACES = "state", "output"
SOME_CELLS = CELLS[:600]
"""Enough for several shards."""


def desk_at(folder: Path, size: Size) -> Desk:
    cells = SOME_CELLS if size.is_full else FEW_CELLS
    return Desk(folder, "", cells, SEVERAL_SHARDS, (*ENDPOINTS, "--rate", "2000"))


class Census:
    """How often an undisturbed run makes each call in each place, for each size of list."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[bool, dict[str, Any]] = {}

    def __call__(self, size: Size) -> dict[str, Any]:
        if size.is_full not in self._known:
            with new_sandbox() as server:
                desk = desk_at(self._folder / str(size.is_full), size)
                desk.url = server.url
                faulty = Faulty(desk)
                with faulty.installed():
                    done = desk.run()
                assert done.code == 0, done.err
                self._known[size.is_full] = faulty.census
        return self._known[size.is_full]


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Census:
    return Census(tmp_path_factory.mktemp("census"))


def faults(call: str, size: Size, made: dict[str, Any], draw: random.Random) -> Iterator[Fault]:
    """Moments spread over all calls that a run makes, one in each stretch."""
    places = _PLACES if size.is_full else [draw.choice(_PLACES)]
    for place in places:
        calls = made.get(f"{call} {place}", 0)
        for first, last in _stretches(calls, 4 if size.is_full else 1):
            yield Fault(
                call,
                place,
                at=draw.randint(first, last),
                errno=draw.choice(_CALLS[call]),
                times=draw.choice([1, FOREVER]),
                short=draw.random() < 0.5,
            )


def _stretches(calls: int, wanted: int) -> Iterator[tuple[int, int]]:
    stretches = min(wanted, calls)
    for number in range(stretches):
        yield 1 + number * calls // stretches, (number + 1) * calls // stretches


def fail_once(folder: Path, size: Size, fault: Fault, undisturbed: Undisturbed) -> Figures:
    """One start that meets the fault and, if it did not get through, one without it."""
    desk = desk_at(folder, size)
    with (
        Trial(f"failing {fault.call}", size.seed, desk) as trial,
        trial.serve(latency=_LATENCY) as server,
    ):
        faulty = Faulty(desk)
        with faulty.installed(fault), trial.started() as running:
            met = trial.wait(running)
        fired = faulty.fired
        assert met.code == 0 or fired, running.said
        return resume(
            trial,
            server,
            undisturbed(desk),
            fault=f"{fault} ({', '.join(Path(each.path).name for each in fired[:2])})",
            met=met,
            problem=problem_of(met.code, running.said, [CANNOT_WRITE]) if met.code else "",
            fault_at=fired[0].at if fired else None,
        )


def test_a_fault_is_met(tmp_path: Path) -> None:
    """Or all the others would find nothing."""
    with new_sandbox() as server:
        desk = desk_at(tmp_path, QUICK)
        desk.url = server.url
        faulty = Faulty(desk)
        with faulty.installed(Fault("fsync", "state", 30)):
            assert desk.run().code == CANNOT_WRITE
        assert faulty.fired[0].call == "fsync"


@in_full
def test_writes_that_fall_short(
    tmp_path: Path, undisturbed: Undisturbed, settle: Callable[[Figures], None]
) -> None:
    """Whoever writes has to look at how much was written: a filling disk takes a part."""
    fault = Fault("write", "any", 1, errno="")
    figures = fail_once(tmp_path, QUICK, fault, undisturbed)
    settle(combine("writes fall short", [figures]))


@sized("call", quick=[], full=[*_CALLS], more=["write", "fsync", "unlink"])
def test_failing_call(
    tmp_path: Path,
    size: Size,
    call: str,
    census: Census,
    *,
    undisturbed: Undisturbed,
    settle: Callable[[Figures], None],
) -> None:
    draw = random.Random(f"{size.seed} {call}")
    met = [
        fail_once(tmp_path / str(number), size, fault, undisturbed)
        for number, fault in enumerate(faults(call, size, census(size), draw))
    ]
    settle(combine(f"failing {call}", met))
