"""Erasures that are killed: never a run signed and half erased, and the same command ends it.

In warehouses, too: a reader finds all of a run's old rows there or all of its new ones, and in a
lake, which has no transaction over several tables, all of each table's.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

import batch_screen
from batch_screen.commands.erase import erase_people
from batch_screen.config.sections import Ids, Privacy
from batch_screen.erasure.journal import journal_of
from batch_screen.erasure.people import People
from batch_screen.privacy.ids import make_id_key, read_id_key
from batch_screen.runs.layout import layout_of_run, runs_at
from batch_screen.storage.atomic import sha256_of
from batch_screen.tables.manifest import read_manifest
from batch_screen.warehouse.columns import RUN_COLUMNS, RUNS
from tests.decoded import numbers_in
from tests.e2e.conftest import COMMAND, Background, clean
from tests.e2e.starting import begin
from tests.nights import MORE_ROWS, NIGHTS, ROWS, job, listed

from .conftest import Size, sized
from .figures import Figures, combine
from .trial import AT_ONCE, wait_until
from .warehouses import KINDS, Warehouse
from .warehouses import Nights as NightsRows

PEOPLE = ("+442079460007", "+442079460300")
"""One is in all nights, one only in those of the longer list."""
_CELL = "call 020 7946 0007"
"""Kept in a row of somebody else."""
_SECONDS = {"postgres": 0.3, "duckdb": 0.4, "delta": 1.0, "iceberg": 3.0}
"""What a warehouse takes at most, from the moment all runs of the folder are erased."""
_OUTSIDE = "before the journal or after it"
_NUMBER = re.compile(r"20\W{0,2}794\d{5}")
_SERIAL = count()

Settle = Callable[[Figures], None]


def people_of(folder: Path, ids: str) -> People:
    key = read_id_key(folder / "ids.key") if ids == "hmac" else None
    return People(pl.Series(PEOPLE), key)


class Nights(NamedTuple):
    """Nights to be read only, and the command's options for them; vault and key lie beside."""

    folder: Path
    ids: str

    def after(self) -> NightsRows:
        """What an erasure that nobody disturbs leaves of them."""
        folder = self.folder / "after"
        if not folder.exists():
            shutil.copytree(self.folder / "screened", folder)
            erase_people(people_of(self.folder, self.ids), folder, folder / ".state")
        return NightsRows(folder)

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
            write_lists(folder, has_cell=ids == "plain")  # it is refused beside ids
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


def write_lists(folder: Path, *, has_cell: bool) -> None:
    """Those of all nights; ``has_cell``: with a number in a kept cell of somebody else."""
    for name, rows in (("list.csv", ROWS), ("list.parquet", MORE_ROWS)):
        is_it = (pl.int_range(rows) == 3) & has_cell
        frame = listed(rows).with_columns(
            branch=pl.when(is_it).then(pl.lit(_CELL)).otherwise("branch")
        )
        if name.endswith("csv"):
            frame.write_csv(folder / name)
        else:
            frame.write_parquet(folder / name)


class Trial:
    """Erasures of two people from a copy of the nights, disturbed; ``figures`` is the verdict."""

    scenario = "erase"
    environment: Mapping[str, str] = {}

    def __init__(self, folder: Path, nights: Nights) -> None:
        self.folder = folder / f"erase-{next(_SERIAL)}"
        shutil.copytree(nights.folder, self.folder, ignore=shutil.ignore_patterns("after"))
        self.out = self.folder / "screened"
        self.options = nights.options(self.folder)
        self.ids = nights.ids
        self.starts = self.kills = self.tracebacks = 0
        self.phases: Counter[str] = Counter()
        self.torn: list[str] = []
        self.leaks: list[str] = []
        self.rows = self._held()

    def _held(self) -> dict[str, dict[str, int]]:
        """Run id → the rows of the two by table, in this process."""
        found = erase_people(
            people_of(self.folder, self.ids), self.out, self.out / ".state", dry_run=True
        )
        return {run.run_id: run.rows for run in found.runs}

    @contextmanager
    def started(self, *command: str) -> Iterator[Background]:
        """The erasure, or another command; killed if the block has not waited for its end."""
        self.starts += 1
        said = [self.folder / f"{stream}-{self.starts}" for stream in ("stderr", "stdout")]
        command = command or ("erase", *self.options, "--yes")
        with said[0].open("wb") as stderr, said[1].open("wb") as stdout:
            process = begin(
                [str(COMMAND), *command, "--json"],
                stdout=stdout,
                stderr=stderr,
                env=clean(self.environment),
            )
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

    def kill(self, draw: random.Random, longest: float) -> str:
        """Starts the command and kills it at a moment: in which phase; empty if it ended before.

        Four times in five it is after the first step that is on disk.
        """
        with self.started() as running:
            if draw.random() < 0.8:
                wait_until(
                    lambda: self._is_begun(running) or running.process.poll() is not None,
                    every=AT_ONCE,
                )
            time.sleep(draw.uniform(0, longest))
            if running.process.poll() is not None:
                return ""
            running.process.send_signal(signal.SIGKILL)
            if running.process.wait() == 0:
                return ""
        self.kills += 1
        phase = self._phase()
        self.phases[phase] += 1
        return phase

    def _is_begun(self, running: Background) -> bool:
        del running
        return journal_of(self.out).exists()

    def _phase(self) -> str:
        if not journal_of(self.out).exists():
            return _OUTSIDE
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
        holding = self._held()
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
            f"{self.scenario} {self.ids}: SIGKILL",
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


@sized("ids", [], ["plain", "hmac"], more=["plain", "hmac"])
def test_killed_at_any_moment(
    size: Size,
    ids: str,
    nights_of: Callable[[str, bool], Nights],
    tmp_path: Path,
    settle: Settle,
) -> None:
    draw, kills = random.Random(size.seed), size.kills if size.is_full else 1
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


class WarehouseTrial(Trial):
    """Erasures that go on in a warehouse, which has all nights."""

    def __init__(self, folder: Path, nights: Nights, kind: str, host: str) -> None:
        super().__init__(folder, nights)
        self.warehouse: Warehouse = KINDS[kind](self.folder, host)
        self.environment = self.warehouse.environment
        self.scenario = f"erase --to {kind}"
        self.before, self.after = NightsRows(self.out), nights.after()
        self.signed = {run_id: self._digest(run_id) for run_id in self.before.run_ids}
        assert self._loaded() == (len(self.signed), 0)
        self.options += ["--to", self.warehouse.to]

    def _digest(self, run_id: str) -> str:
        return sha256_of(layout_of_run(self.out, run_id).manifest)

    def _loaded(self) -> tuple[int, int]:
        """How many runs ``load`` brings, and how many it finds there."""
        with self.started("load", str(self.out), "--to", self.warehouse.to, "--sandbox") as running:
            assert running.process.wait() == 0, running.said
        said = json.loads(running.heard)
        return len(said["runs"]), said["already"]

    def _is_begun(self, running: Background) -> bool:
        """All runs of the folder are erased, and the command holds it: warehouses are next."""
        holder = self.out / ".state" / "holder.json"
        if not (holder.exists() and all(self._erased(run_id) for run_id in self.rows)):
            return False
        return bool(json.loads(holder.read_bytes())["pid"] == running.process.pid)

    def _phase(self) -> str:
        states = {state for of_run in self._states().values() for state in of_run.values()}
        if not journal_of(self.out).exists():
            return _OUTSIDE
        if not all(self._erased(run_id) for run_id in self.rows):
            return "in the folder"
        there = {"old": "not yet", "new": "done"}
        return f"there {'in part' if len(states) > 1 else there[states.pop()]}"

    def look(self) -> None:
        super().look()
        said = set()
        for run_id, states in self._states().items():
            said.add(states[RUNS])
            is_one = len({*states.values()}) == 1
            is_going = not self.warehouse.is_transactional and states[RUNS] == "old"
            if "torn" in states.values() or not (is_one or is_going):
                self.torn.append(f"{run_id} is in the warehouse as {states}")
        if self.warehouse.is_transactional and len(said) > 1:
            self.torn.append("some runs are erased in the warehouse, and some are not")

    def _states(self) -> dict[str, dict[str, str]]:
        """Of each run whose rows change: table → whether it has the old rows, the new, or both."""
        named = self.warehouse.rows(RUNS, ["run_id", "manifest_sha256"])
        signed = {run_id: {self.signed[run_id]: "old"} for run_id in self.rows}
        for run_id, of_run in signed.items():
            if self._erased(run_id):
                of_run[self._digest(run_id)] = "new"
        found: dict[str, dict[str, str]] = {run_id: {} for run_id in self.rows}
        for table, columns in self.before.columns.items():
            place = columns.index("run_id")
            rows: dict[str, Counter[object]] = {}
            for row in self.warehouse.rows(table, columns):
                rows.setdefault(row[place], Counter())[row] += 1
            for run_id, states in found.items():
                there = rows.get(run_id, Counter())
                old, new = (n.rows(table, run_id) for n in (self.before, self.after))
                if old != new:
                    states[table] = "old" if there == old else "new" if there == new else "torn"
        for run_id, states in found.items():
            mine = [digest for each, digest in named if each == run_id]
            states[RUNS] = signed[run_id].get(mine[0], "torn") if len(mine) == 1 else "torn"
        return found

    def complete(self) -> None:
        """As before; nobody is in any row of the warehouse, which has all runs as they are now."""
        super().complete()
        if old := [r for r, states in self._states().items() if {*states.values()} != {"new"}]:
            self.torn.append(f"{old} are not erased in the warehouse")
        values = people_of(self.folder, self.ids).key_values.values()
        theirs = [key.removeprefix("+44") for keys in values for key in keys]
        of_runs = [column.name for column in RUN_COLUMNS]
        for table, columns in {**self.after.columns, RUNS: of_runs}.items():
            for row in self.warehouse.rows(table, columns):
                cells = [re.sub(r"\W", "", str(cell)) for cell in row]
                if any(each in cell for cell in cells for each in theirs):
                    self.leaks.append(f"holds them: {table} of {self.warehouse.kind}")
        assert self._loaded() == (0, len(self.signed))


@pytest.fixture
def begun(
    tmp_path: Path, nights_of: Callable[[str, bool], Nights], host: str
) -> Callable[[str, str, bool], WarehouseTrial]:
    """Begins a trial of a kind of warehouse and of ids, small or in full."""
    return lambda kind, ids, is_full: WarehouseTrial(tmp_path, nights_of(ids, is_full), kind, host)


_TARGETS = [f"{kind}-{ids}" for kind in KINDS for ids in ("plain", "hmac")]


@sized("target", [], _TARGETS, more=["postgres-plain", "delta-hmac"])
def test_killed_at_any_moment_in_a_warehouse(
    size: Size,
    target: str,
    begun: Callable[[str, str, bool], WarehouseTrial],
    settle: Settle,
) -> None:
    kind, ids = target.split("-")
    draw, kills = random.Random(f"{target} {size.seed}"), size.kills // 8 if size.is_full else 1

    def trials() -> Iterator[Figures]:
        done, longest = 0, _SECONDS[kind] * (1 if size.is_full else 0.5)
        while done < kills:
            trial = begun(kind, ids, size.is_full)
            while done + trial.kills < kills and trial.kills < 3:
                phase = trial.kill(draw, longest)
                if phase in {"", _OUTSIDE}:
                    longest *= 0.7  # sooner, on a fast machine
                if not phase:
                    break
                trial.look()
            trial.complete()
            done += trial.kills
            yield trial.figures(size.seed)
            shutil.rmtree(trial.folder)

    settle(combine(f"erase --to {kind} {ids}: SIGKILL", trials()))
