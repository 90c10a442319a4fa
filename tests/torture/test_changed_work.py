"""Another input or other settings before a resume: refused with both values, or resumed."""

from __future__ import annotations

import hashlib
import random
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from batch_screen.sandbox.latency import Latency
from tests.e2e.conftest import NUMBERS, Desk, write_csv

from .conftest import ENDPOINTS, FEW_CELLS, Size, Undisturbed, sized
from .figures import Figures, Measure
from .met import problem_of
from .trial import Trial, wait_until

_LATENCY = Latency(seconds=0.01)
_CONFIGURATION = 2
_INPUTS: dict[str, Sequence[str]] = {
    "replaced": NUMBERS[500:700],
    "grown": [*FEW_CELLS, *NUMBERS[800:840]],
    "cut": FEW_CELLS[:120],
}


@dataclass
class Setting:
    """A changed setting: flags or environment, and the words of the refusal (none: it resumes)."""

    options: tuple[str, ...] = ()
    environment: dict[str, str | None] = field(default_factory=dict)
    words: str = ""


_SETTINGS = {
    "window": Setting(("--max-age-minutes", "240"), words="max_age_minutes was 2400, now 240"),
    "strictness": Setting(
        ("--strictness", "possible"), words='strictness was "valid", now "possible"'
    ),
    "endpoints": Setting(("--endpoints", "sim-swap/check"), words="screening.endpoints was ["),
    "region": Setting(("--default-region", "DE"), words="default_region was"),
    "address": Setting(("--base-url", "http://127.0.0.1:9/other"), words="base_url was"),
    "rate": Setting(("--rate", "150")),
    "concurrency": Setting(environment={"BATCH_SCREEN_PACING__MAX_CONCURRENCY": "3"}),
    "attempts": Setting(environment={"BATCH_SCREEN_RETRY__MAX_ATTEMPTS": "9"}),
    "compression": Setting(environment={"BATCH_SCREEN_OUTPUT__COMPRESSION": "snappy"}),
}


def stop_half_way(trial: Trial, draw: random.Random) -> None:
    with trial.started() as running:
        count = draw.randint(20, 300)
        assert wait_until(lambda: trial.log.read_bytes().count(b"\n") >= count)
        assert trial.leave(running, signal.SIGTERM).code == 143


def refused(trial: Trial, words: str, *more: object) -> list[Measure]:
    """The figures of a start that has to be refused without a request."""
    sent = len(trial.log.read_bytes())
    with trial.started(*more) as running:
        met = trial.wait(running)
    problem = problem_of(met.code, running.said, [_CONFIGURATION], words)
    assert not problem, problem
    requests = len(trial.log.read_bytes()) - sent
    return [Measure("bytes of requests while refused", requests, 0)]


def desk_at(folder: Path) -> Desk:
    return Desk(folder, "", FEW_CELLS, options=(*ENDPOINTS, "--rate", "400"))


@sized("change", quick=[], full=["replaced", "grown", "cut"], more=["replaced"])
def test_changed_input(
    tmp_path: Path,
    size: Size,
    change: str,
    undisturbed: Undisturbed,
    settle: Callable[[Figures], None],
) -> None:
    desk = desk_at(tmp_path)
    with (
        Trial("input changed", size.seed, desk) as trial,
        trial.serve(latency=_LATENCY) as server,
    ):
        stop_half_way(trial, random.Random(f"{size.seed} {change}"))
        old = desk.list.read_bytes()
        write_csv(desk.list, _INPUTS[change])
        was, now = (hashlib.sha256(each).hexdigest() for each in (old, desk.list.read_bytes()))
        words = f"had other content (SHA-256 {was[:12]}…, now {now[:12]}…)"
        measures = refused(trial, words)
        desk.list.write_bytes(old)
        assert trial.run().code == 0
        settle(trial.figures(server, undisturbed(desk), faults=1, measures=measures))


@pytest.mark.torture
def test_changed_input_with_new_run(
    tmp_path: Path, settle: Callable[[Figures], None], undisturbed: Undisturbed
) -> None:
    desk = desk_at(tmp_path)
    with Trial("input changed, new run", 1, desk) as trial, trial.serve(latency=_LATENCY) as server:
        stop_half_way(trial, random.Random(1))
        trial.log.unlink()  # what was bought for the other list is another story
        trial.sessions.clear()
        desk.cells = list(_INPUTS["grown"])
        write_csv(desk.list, desk.cells)
    with Trial("input changed, new run", 1, desk) as trial, trial.serve(latency=_LATENCY) as server:
        assert trial.run("--new-run").code == 0
        settle(trial.figures(server, undisturbed(desk), faults=1, per_kill_most=0))


@sized("name", quick=[], full=[*_SETTINGS], more=["rate", "window"])
def test_changed_setting(
    tmp_path: Path,
    size: Size,
    name: str,
    undisturbed: Undisturbed,
    settle: Callable[[Figures], None],
) -> None:
    desk, setting = desk_at(tmp_path), _SETTINGS[name]
    expected = undisturbed(desk)
    with (
        Trial("settings changed", size.seed, desk) as trial,
        trial.serve(latency=_LATENCY) as server,
    ):
        stop_half_way(trial, random.Random(f"{size.seed} {name}"))
        if setting.words:
            measures = refused(trial, setting.words, *setting.options)
            assert trial.run().code == 0
        else:
            measures = []
            desk.environment = setting.environment
            assert trial.run(*setting.options).code == 0
        settle(trial.figures(server, expected, faults=1, per_kill_most=0, measures=measures))


@pytest.mark.torture
def test_emptied_input_keeps_the_unfinished_run(
    tmp_path: Path, settle: Callable[[Figures], None], undisturbed: Undisturbed
) -> None:
    desk = desk_at(tmp_path)
    with Trial("input emptied", 1, desk) as trial, trial.serve(latency=_LATENCY) as server:
        stop_half_way(trial, random.Random(1))
        old = desk.list.read_bytes()
        desk.list.write_bytes(b"")
        assert trial.run().code in (_CONFIGURATION, 65)
        desk.list.write_bytes(old)
        assert trial.run().code == 0
        settle(trial.figures(server, undisturbed(desk), faults=1, per_kill_most=0))
