"""A state in a bucket, disturbed: what was lost, what was bought twice, and how long it was silent.

Machines are folders here, deleted with the process; moto's server is the bucket, behind a proxy
that delays, refuses and drops answers. ``make bench-state``.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import boto3
import polars as pl

from batch_screen.sandbox.run import SandboxThread
from tests.buckets import Bucket, Faults, faulty, moto_apart, variables
from tests.e2e.conftest import CONCURRENCY, NUMBERS, Desk, Output, clean, new_sandbox

_COMMAND = Path(sys.executable).with_name("batch-screen")
_COUNT, _RATE = 1_200, 150
_SEEDS = (1, 2, 3)


class Row(NamedTuple):
    """What a disturbance has led to."""

    lost: int
    twice: int
    over: int
    silence: float
    codes: list[int]
    is_whole: bool


class Trial:
    """One list, one bucket, and as many machines as it takes."""

    def __init__(self, stack: ExitStack, url: str, seed: int) -> None:
        self.chance = random.Random(seed)
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm")))
        self.log = self.folder / "requests"
        self.api: SandboxThread = stack.enter_context(new_sandbox(journal_path=self.log))
        self.faults = Faults(seed)
        environment = variables(url)
        client = boto3.client(
            "s3",
            endpoint_url=url,
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            region_name="us-east-1",
        )
        self.bucket = Bucket(client, f"trial-{seed}-{time.time_ns()}")
        self.proxy = stack.enter_context(faulty(url, self.faults))
        self.machines = 0
        self.codes: list[int] = []
        self.running: list[subprocess.Popen[bytes]] = []
        stack.callback(self._end)

    def machine(self) -> tuple[Desk, subprocess.Popen[bytes]]:
        """Starts the command in an empty folder."""
        self.machines += 1
        desk = Desk(
            self.folder / f"machine-{self.machines}",
            self.api.url,
            NUMBERS[:_COUNT],
            options=("--state", f"{self.bucket.address}/p", "--rate", str(_RATE)),
            environment=variables(self.proxy),
        )
        with (desk.folder / "stderr").open("wb") as said:
            process = subprocess.Popen(
                [str(_COMMAND), *map(str, desk.arguments())],
                env=clean(desk.environment),
                stdout=subprocess.DEVNULL,
                stderr=said,
            )
        self.running.append(process)
        return desk, process

    def asked(self) -> int:
        return int(self.api.statistics()["answered_lookups"])

    def until_asked(self, count: int) -> None:
        deadline = time.monotonic() + 60
        while self.asked() < count and time.monotonic() < deadline:
            time.sleep(0.05)

    def lose(self, desk: Desk, process: subprocess.Popen[bytes]) -> None:
        """The machine is gone with all that was on it."""
        process.kill()
        process.wait()
        shutil.rmtree(desk.folder)

    def wait(self, process: subprocess.Popen[bytes]) -> None:
        self.codes.append(process.wait(timeout=300))

    def row(self, desk: Desk) -> Row:
        """The verdict on the last machine's output."""
        seen = self.api.statistics()
        whole = subprocess.run(
            [str(_COMMAND), "validate", str(desk.out)],
            env=clean(),
            capture_output=True,
            check=False,
        )
        found = 0
        if (desk.out / "latest.json").exists():
            lookups = Output(desk.out).frame("lookups")
            found = lookups.filter(pl.col("outcome") == "success").height
        starts = sorted(
            float(line["at"]) for line in pl.read_ndjson(self.log).select("at").to_dicts()
        )
        gaps = [later - earlier for earlier, later in pairwise(starts)]
        twice = int(seen["clean_answers"] - seen["answered_lookups"])
        over = max(0, int(seen["worst_second"]) - _RATE)
        return Row(_COUNT - found, twice, over, max(gaps), self.codes, whole.returncode == 0)

    def _end(self) -> None:
        for process in self.running:
            process.kill()
            process.wait()


def _undisturbed(trial: Trial) -> Desk:
    desk, process = trial.machine()
    trial.wait(process)
    return desk


def _killed(trial: Trial) -> Desk:
    for _ in range(2):
        desk, process = trial.machine()
        trial.until_asked(trial.asked() + trial.chance.randrange(50, 400))
        trial.lose(desk, process)
    return _undisturbed(trial)


def _bad_line(trial: Trial) -> Desk:
    trial.faults.refused = trial.faults.dropped = trial.faults.conflicting = 0.05
    trial.faults.seconds = 0.2
    return _undisturbed(trial)


def _bad_line_killed(trial: Trial) -> Desk:
    trial.faults.refused = trial.faults.dropped = trial.faults.conflicting = 0.05
    trial.faults.seconds = 0.2
    return _killed(trial)


def _slow(trial: Trial) -> Desk:
    desk, process = trial.machine()
    trial.until_asked(100)
    trial.faults.seconds = 2.0
    trial.wait(process)
    return desk


def _away(trial: Trial) -> Desk:
    desk, process = trial.machine()
    trial.until_asked(300)
    trial.faults.is_away = True
    time.sleep(12)
    trial.faults.is_away = False
    trial.wait(process)
    return desk


def _frozen(trial: Trial) -> Desk:
    _, frozen = trial.machine()
    trial.until_asked(trial.chance.randrange(100, 400))
    frozen.send_signal(signal.SIGSTOP)
    desk, process = trial.machine()
    asked = trial.asked()
    trial.until_asked(asked + 200)
    frozen.send_signal(signal.SIGCONT)
    trial.wait(frozen)
    trial.wait(process)
    return desk


def _two(trial: Trial) -> Desk:
    desk, process = trial.machine()
    trial.until_asked(100)
    _, other = trial.machine()
    trial.wait(other)
    trial.wait(process)
    return desk


_DISTURBANCES: dict[str, Callable[[Trial], Desk]] = {
    "nothing": _undisturbed,
    "two machines lost": _killed,
    "store: 5 % each 503, 409, answer lost": _bad_line,
    "the same, two machines lost": _bad_line_killed,
    "store: up to 2 s an answer": _slow,
    "store away 12 s": _away,
    "frozen, taken over, thawed": _frozen,
    "two at once": _two,
}


def main() -> None:
    """Prints a row for each disturbance and seed."""
    print(f"{_COUNT} lookups, {_RATE}/s, max_concurrency {CONCURRENCY}")
    print("| what | seed | lost | twice | over the rate | silence | exit codes | whole |")
    print("|---|--:|--:|--:|--:|--:|---|---|")
    names = sys.argv[1:] or [*_DISTURBANCES]
    with moto_apart() as url:
        for name in names:
            for seed in _SEEDS:
                with ExitStack() as stack:
                    trial = Trial(stack, url, seed)
                    row = trial.row(_DISTURBANCES[name](trial))
                whole = "yes" if row.is_whole else "NO"
                codes = " ".join(map(str, row.codes))
                print(
                    f"| {name} | {seed} | {row.lost} | {row.twice} | {row.over} | "
                    f"{row.silence:.1f} s | {codes} | {whole} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
