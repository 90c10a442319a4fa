"""Erasures that are killed: never a run signed and half erased, and the same command ends it."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest

import batch_screen
from batch_screen.config.sections import Ids, Privacy
from batch_screen.erasure.journal import journal_of
from batch_screen.privacy.ids import make_id_key
from batch_screen.runs.layout import layout_of_run, runs_at
from batch_screen.tables.manifest import read_manifest
from tests.decoded import numbers_in
from tests.e2e.conftest import COMMAND, Background, clean
from tests.e2e.starting import begin
from tests.nights import NIGHTS, job, write_lists

from .conftest import Size, sized
from .figures import Figures, combine
from .trial import AT_ONCE, wait_until

PEOPLE = ("+442079460007", "+442079460300")
"""One is in all nights, one only in those of the longer list."""
_NUMBER = re.compile(r"20\W{0,2}794\d{5}")
_SERIAL = count()

Settle = Callable[[Figures], None]


class Nights(NamedTuple):
    """Nights to be read only, and the command's options for them; vault and key lie beside."""

    folder: Path
    ids: str

    def options(self, folder: Path) -> list[str]:
        given = ["--numbers", str(folder / "people.txt"), "--out", str(folder / "screened")]
        if self.ids == "hmac":
            given += ["--id-key-file", str(folder / "ids.key"), "--id-vault", str(folder / "vault")]
        return given


@pytest.fixture(scope="module")
def nights_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, bool], Nights]:
    """The nights of a kind, made when they are first asked for."""
    known: dict[tuple[str, bool], Nights] = {}

    def make(ids: str, is_full: bool) -> Nights:
        if (ids, is_full) not in known:
            folder = tmp_path_factory.mktemp(ids)
            write_lists(folder)
            (folder / "people.txt").write_text("\n".join(PEOPLE) + "\n")
            more = {}
            if ids == "hmac":
                make_id_key(folder / "ids.key")
                more["privacy"] = Privacy(
                    ids=Ids.HMAC,
                    id_key_file=str(folder / "ids.key"),
                    id_vault=str(folder / "vault"),
                    keep_state=True,
                )
            chosen = [each for each in NIGHTS if not each.is_stopped]
            for night in chosen if is_full else chosen[:2]:
                batch_screen.run(job(folder, night, **more))
            known[ids, is_full] = Nights(folder, ids)
        return known[ids, is_full]

    return make


class Trial:
    """Erasures of two people from a copy of the nights, disturbed; ``figures`` is the verdict."""

    def __init__(self, folder: Path, nights: Nights) -> None:
        self.folder = folder / f"erase-{next(_SERIAL)}"
        shutil.copytree(nights.folder, self.folder)
        self.out = self.folder / "screened"
        self.options = nights.options(self.folder)
        self.ids = nights.ids
        self.starts = self.kills = self.tracebacks = 0
        self.phases: Counter[str] = Counter()
        self.torn: list[str] = []
        self.leaks: list[str] = []
        found = json.loads(self._looked())
        self.rows = {run["run_id"]: run["rows"] for run in found["runs"]}

    def _looked(self) -> str:
        with self.started("--dry-run") as running:
            assert running.process.wait() == 0, running.said
            return running.heard

    @contextmanager
    def started(self, how: str = "--yes") -> Iterator[Background]:
        """The command, running; killed if the block has not waited for its end."""
        self.starts += 1
        said = [self.folder / f"{stream}-{self.starts}" for stream in ("stderr", "stdout")]
        command = [str(COMMAND), "erase", *self.options, "--json", how]
        with said[0].open("wb") as stderr, said[1].open("wb") as stdout:
            process = begin(command, stdout=stdout, stderr=stderr, env=clean({}))
        with process:
            try:
                yield Background(process, *said)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        for path in said:
            text = path.read_text("utf-8")
            self.tracebacks += "Traceback" in text
            self.leaks += _NUMBER.findall(text)

    def kill(self, draw: random.Random, longest: float) -> bool:
        """Starts the command and kills it at a moment; False where it ended before.

        Four times in five it is after the first step that is on disk.
        """
        with self.started() as running:
            if draw.random() < 0.8:
                wait_until(
                    lambda: journal_of(self.out).exists() or running.process.poll() is not None,
                    every=AT_ONCE,
                )
            time.sleep(draw.uniform(0, longest))
            if running.process.poll() is not None:
                return False
            running.process.send_signal(signal.SIGKILL)
            if running.process.wait() == 0:
                return False
        self.kills += 1
        self.phases[self._phase()] += 1
        return True

    def _phase(self) -> str:
        if not journal_of(self.out).exists():
            return "before the journal or after it"
        done = sum(bool(self._erased(run_id)) for run_id in self.rows)
        return "all runs erased" if done == len(self.rows) else f"{'some' if done else 'no'} erased"

    def _erased(self, run_id: str) -> list[object]:
        manifest = read_manifest(layout_of_run(self.out, run_id))
        return [*manifest.erased] if manifest else []

    def look(self) -> None:
        """Notes runs that are not whole, or hold them and say that they do not, or in part."""
        for run_id in runs_at(self.out):
            if not batch_screen.validate(self.out, run_id).is_whole:
                self.torn.append(f"{run_id} is not whole")
        holding = {run["run_id"]: run["rows"] for run in json.loads(self._looked())["runs"]}
        for run_id, rows in self.rows.items():
            if holding.get(run_id) != (None if self._erased(run_id) else rows):
                self.torn.append(f"{run_id} is erased in part: {holding.get(run_id)} of {rows}")

    def complete(self) -> None:
        """The same command, undisturbed; then nobody finds them anywhere."""
        with self.started() as running:
            assert running.process.wait() == 0, running.said
        self.look()
        held = [*numbers_in(self.out, PEOPLE)]
        if self.ids == "hmac":
            held += numbers_in(self.folder / "vault", PEOPLE)
        self.leaks += [f"holds them: {name}" for name in held]

    def figures(self, seed: int) -> Figures:
        return Figures(
            f"erase {self.ids}: SIGKILL",
            (seed,),
            faults=self.kills,
            starts=self.starts,
            lookups=sum(rows["lookups"] for rows in self.rows.values()),
            torn=len(self.torn),
            leaks=len(self.leaks),
            tracebacks=self.tracebacks,
            billed_shown=None,
            phases=self.phases,
            examples=(*self.torn[:5], *self.leaks[:5]),
        )


@sized("ids", ["plain", "hmac"], ["plain", "hmac"])
def test_killed_at_any_moment(
    size: Size,
    ids: str,
    nights_of: Callable[[str, bool], Nights],
    tmp_path: Path,
    settle: Settle,
) -> None:
    draw, kills = random.Random(size.seed), size.kills if size.is_full else 2
    nights = nights_of(ids, size.is_full)

    def trials() -> Iterator[Figures]:
        done, longest = 0, 0.4 if size.is_full else 0.15
        while done < kills:
            trial = Trial(tmp_path, nights)
            while done + trial.kills < kills and trial.kills < 4 and trial.kill(draw, longest):
                trial.look()
            trial.complete()
            done += trial.kills
            yield trial.figures(size.seed)
            shutil.rmtree(trial.folder)

    settle(combine(f"erase {ids}: SIGKILL", trials()))
