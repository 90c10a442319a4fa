"""Loads that are killed, stopped, cut off and doubled: a run is in the warehouse once, or not."""

from __future__ import annotations

import hashlib
import random
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

import batch_screen
from batch_screen.errors import RunLockedError
from batch_screen.runs.layout import DATA_FOLDERS
from tests.e2e.conftest import COMMAND, Background, clean
from tests.e2e.starting import begin
from tests.nights import NIGHTS

from .conftest import Size, sized
from .figures import Figures, combine
from .trial import AT_ONCE, wait_until
from .warehouses import KINDS, Nights, PostgresWarehouse, Warehouse, make_long_nights, watched

_FULL = [*KINDS]
_SMALL = ["postgres", "duckdb"]
"""In the full run: by default tests/unit/warehouse kills, stops and doubles loads."""
_NUMBER = re.compile(r"20\W{0,2}794\d{5}")
_PAUSES = {"postgres": 0.005, "duckdb": 0.1, "delta": 0.02, "iceberg": 0.05}
_SERIAL = count()

Settle = Callable[[Figures], None]
Begin = Callable[[str], "Trial"]


@pytest.fixture(scope="module")
def nights(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Nights:
    """Seven nights, or five, to be read only."""
    is_quick = "not torture" in request.config.option.markexpr
    folder = tmp_path_factory.mktemp("nights")
    if is_quick:
        return make_long_nights(folder, 500, NIGHTS[:4])
    return make_long_nights(folder, 8_000)


class Trial:
    """Loads of an output folder into one warehouse, disturbed; ``figures`` is the verdict."""

    def __init__(self, folder: Path, nights: Nights, kind: str, host: str) -> None:
        self.folder = folder / f"{kind}-{next(_SERIAL)}"
        self.folder.mkdir()
        self.nights = nights
        self.out = nights.folder
        self.warehouse: Warehouse = KINDS[kind](self.folder, host)
        self.starts = 0
        self.faults = 0
        self.phases: Counter[str] = Counter()
        self.torn: list[str] = []
        self.leaks: list[str] = []
        self.tracebacks = 0

    def own_nights(self) -> Path:
        """The nights in a folder of the trial's own, to be changed."""
        self.out = self.folder / "screened"
        shutil.copytree(self.nights.folder, self.out)
        return self.out

    def write_anew(self) -> None:
        """All runs with other manifests, as if they had been written anew."""
        for manifest in self.own_nights().glob("runs/*/manifest.json"):
            manifest.write_bytes(manifest.read_bytes() + b"\n")
            digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
            manifest.with_name("_SUCCESS").write_text(f"{digest}\n", "ascii")

    @contextmanager
    def started(self, *more: str) -> Iterator[Background]:
        """The command, running; killed if the block has not waited for its end."""
        self.starts += 1
        said = [self.folder / f"{stream}-{self.starts}" for stream in ("stderr", "stdout")]
        with said[0].open("wb") as stderr, said[1].open("wb") as stdout:
            to = ("--to", self.warehouse.to, "--sandbox", *more)
            process = begin(
                [str(COMMAND), "load", str(self.out), *to],
                stdout=stdout,
                stderr=stderr,
                env=clean(self.warehouse.environment),
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

    def complete(self, *more: str) -> None:
        """The same command, undisturbed."""
        with self.started(*more) as running:
            assert running.process.wait() == 0, running.said
        self.look()

    def look(self) -> set[str]:
        """The runs that a reader sees; notes those of which it sees a part."""
        found = wait_until_open(self.warehouse, self.nights)
        self.torn += found[1]
        return found[0]

    def figures(self, scenario: str, seed: int, run_ids: list[str] | None = None) -> Figures:
        """Holds all tables against the files of these runs, or of all, cell by cell."""
        expected = self.nights.run_ids if run_ids is None else run_ids
        missing = surplus = wrong = every = 0
        for table, columns in self.nights.columns.items():
            found = Counter(self.warehouse.rows(table, columns))
            wanted: Counter[Any] = Counter()
            for run_id in expected:
                wanted.update(self.nights.rows(table, run_id))
            every += wanted.total()
            missing += max(0, wanted.total() - found.total())
            surplus += max(0, found.total() - wanted.total())
            wrong += (found - wanted).total() + (wanted - found).total()
        return Figures(
            f"load {self.warehouse.kind}: {scenario}",
            (seed,),
            faults=self.faults,
            starts=self.starts,
            lookups=every,
            missing=missing,
            duplicates=surplus,
            wrong=wrong,
            torn=len(self.torn),
            leaks=len(self.leaks),
            tracebacks=self.tracebacks,
            billed_shown=None,
            phases=self.phases,
            examples=tuple(self.torn[:5]),
        )


@pytest.fixture
def begun(tmp_path: Path, nights: Nights, host: str) -> Begin:
    """Begins a trial with an empty warehouse of a kind."""
    return lambda kind: Trial(tmp_path, nights, kind, host)


def wait_until_open(warehouse: Warehouse, nights: Nights) -> tuple[set[str], list[str]]:
    found: list[Any] = []

    def look() -> bool:
        found[:] = [warehouse.torn(nights)]
        return found[0] is not None

    assert wait_until(look, every=0.05)
    seen: tuple[set[str], list[str]] = found[0]
    return seen


def open_files(pid: int) -> list[str]:
    """What the process has open at this moment."""
    found = []
    with suppress(OSError):
        for each in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.append(str(each.readlink()))
    return found


def phase(pid: int) -> str:
    """What a load is at, from the files that it has open."""
    files = open_files(pid)
    for table in DATA_FOLDERS:
        if any(f"/{table}/run_date=" in name for name in files):
            return table
    if any(name.endswith("/manifest.json") for name in files):
        return "begin, count or commit"
    return "start-up or between runs"


def at_a_moment(
    trial: Trial, running: Background, draw: random.Random, new: list[str], *, in_run: bool = False
) -> bool:
    """Waits for a random moment of a load of these runs; False where it ended before.

    Four times in five it is while, or shortly after, one file of them is open; with ``in_run``
    always, for a small load is over soon.
    """
    process = running.process
    if not in_run and draw.random() < 0.2:
        due = time.monotonic() + draw.uniform(0, 2)
        wait_until(lambda: time.monotonic() > due or process.poll() is not None, every=AT_ONCE)
        return process.poll() is None
    run_id = draw.choice(new)
    manifest = f"/{run_id}/manifest.json"  # is open as long as the run is loaded
    name = draw.choice([manifest, draw.choice(trial.nights.parts(run_id))])
    is_begun = False

    def is_due() -> bool:
        nonlocal is_begun
        files = open_files(process.pid)
        was_begun, is_begun = is_begun, any(file.endswith(manifest) for file in files)
        is_missed = was_begun and not is_begun
        is_open = is_begun and any(file.endswith(name) for file in files)
        return is_open or is_missed or process.poll() is not None

    wait_until(is_due, every=AT_ONCE)
    time.sleep(draw.choice([0, draw.uniform(0, 0.02), draw.uniform(0, 0.3)]))
    return process.poll() is None


def end(trial: Trial, running: Background, number: signal.Signals) -> int:
    """Sends the signal; the exit code. Counts it, unless the load was over before."""
    was_at = phase(running.process.pid)
    running.process.send_signal(number)
    code = running.process.wait()
    if code != 0:
        trial.faults += 1
        trial.phases[was_at] += 1
    return code


def killed_until_complete(
    trial: Trial, draw: random.Random, most_kills: int, *, in_run: bool = False
) -> None:
    """Kills the same command at random moments until it was faster, then lets it end."""
    while trial.faults < most_kills:
        new = [run_id for run_id in trial.nights.run_ids if run_id not in trial.look()]
        with trial.started() as running:
            if not (new and at_a_moment(trial, running, draw, new, in_run=in_run)):
                break
            if end(trial, running, signal.SIGKILL) == 0:
                break
    trial.complete()


def kills_of(size: Size) -> int:
    """A third of what a run is killed: loads are shorter, and there are several targets."""
    return max(2, size.kills // 3)


@sized("kind", [], _FULL, more=_SMALL)
def test_killed_at_any_moment(size: Size, kind: str, begun: Begin, settle: Settle) -> None:
    draw, kills = random.Random(size.seed), kills_of(size)

    def trials() -> Iterator[Figures]:
        done = 0
        while done < kills:
            trial = begun(kind)
            killed_until_complete(trial, draw, kills - done, in_run=not size.is_full)
            done += trial.faults
            yield trial.figures("SIGKILL", size.seed)

    settle(combine(f"load {kind}: SIGKILL", trials()))


@sized("kind", [], _FULL, more=["duckdb"])
def test_replacing_is_killed_at_any_moment(
    size: Size, kind: str, begun: Begin, settle: Settle
) -> None:
    """A reader sees all of a run before it is replaced or after, or, in a lake, no such run."""
    draw = random.Random(size.seed)
    trial = begun(kind)
    trial.complete()
    trial.write_anew()
    for _ in range(max(1, size.kills // 8)):
        with trial.started("--replace") as running:
            new = trial.nights.run_ids
            if not at_a_moment(trial, running, draw, new, in_run=not size.is_full):
                break
            end(trial, running, signal.SIGKILL)
        trial.look()
    trial.complete("--replace")
    trial.complete()  # which would refuse another manifest
    settle(trial.figures("--replace killed", size.seed))


@sized("kind", [], _FULL, more=_SMALL)
def test_one_night_killed_then_the_next_one_loaded_too(
    size: Size, kind: str, begun: Begin, settle: Settle
) -> None:
    """Other loaders go on with the old night then, and say that all is well."""
    draw = random.Random(size.seed)

    def trials() -> Iterator[Figures]:
        for _ in range(max(1, size.kills // 10)):
            trial = begun(kind)
            nights = trial.nights
            first, second = draw.sample(nights.run_ids, 2)
            out = trial.own_nights()
            for run_id in nights.run_ids:
                if run_id != first:
                    (out / "runs" / run_id / "_SUCCESS").unlink()
            with trial.started() as running:
                if at_a_moment(trial, running, draw, [first], in_run=True):
                    end(trial, running, signal.SIGKILL)
            trial.look()
            marker = Path("runs") / second / "_SUCCESS"
            shutil.copy(nights.folder / marker, out / marker)
            trial.complete()
            yield trial.figures("next night", size.seed, [first, second])

    settle(combine(f"load {kind}: killed, then the next night", trials()))


@sized("kind", [], _FULL, more=_SMALL)
def test_two_at_once(size: Size, kind: str, begun: Begin, settle: Settle) -> None:
    draw = random.Random(size.seed)

    def pairs() -> Iterator[Figures]:
        for _ in range(size.kills // 5 + 1 if size.is_full else 1):
            trial = begun(kind)
            with trial.started() as one:
                time.sleep(draw.choice([0, draw.uniform(0, 0.5)]))
                with trial.started() as other:
                    codes = [one.process.wait(), other.process.wait()]
            assert 0 in codes, one.said + other.said
            assert set(codes) <= {0, 69, 75}, one.said + other.said
            trial.faults = 1
            trial.phases.update(f"exit {code}" for code in codes)
            trial.look()
            yield trial.figures("pairs", size.seed)

    settle(combine(f"load {kind}: two at once", pairs()))


@sized("kind", [], _FULL, more=["postgres"])
def test_two_at_once_of_which_one_is_killed(
    size: Size, kind: str, begun: Begin, settle: Settle
) -> None:
    """The one that waited for the other loads then what that has not."""
    draw = random.Random(size.seed)

    def pairs() -> Iterator[Figures]:
        for _ in range(max(1, size.kills // 10)):
            trial = begun(kind)
            with trial.started() as one, trial.started() as other:
                if at_a_moment(trial, one, draw, trial.nights.run_ids, in_run=True):
                    end(trial, one, signal.SIGKILL)
                code = other.process.wait()
            assert code in (0, 69, 75), other.said
            trial.phases[f"exit {code}"] += 1
            if code == 0:
                assert trial.look() == set(trial.nights.run_ids)
            else:
                trial.complete()
            yield trial.figures("one of two killed", size.seed)

    settle(combine(f"load {kind}: two at once, one killed", pairs()))


@sized("kind", [], _FULL, more=["postgres"])
def test_a_second_session_that_reads_all_the_time(
    size: Size, kind: str, begun: Begin, settle: Settle
) -> None:
    draw = random.Random(size.seed)
    trial = begun(kind)
    with watched(trial.warehouse, trial.nights, _PAUSES[kind]) as seen:
        killed_until_complete(trial, draw, 3, in_run=not size.is_full)
    trial.torn += seen.torn
    trial.phases = Counter({"looks": seen.looks, "refused": seen.shut})
    settle(trial.figures("read meanwhile", size.seed))


@sized("kind", [], _FULL, more=_SMALL)
def test_stopped_by_signals(size: Size, kind: str, begun: Begin, settle: Settle) -> None:
    draw = random.Random(size.seed)
    trial = begun(kind)
    for number, code in [(signal.SIGINT, 130), (signal.SIGTERM, 143)] * (2 if size.is_full else 1):
        new = [run_id for run_id in trial.nights.run_ids if run_id not in trial.look()]
        with trial.started() as running:
            if not (new and at_a_moment(trial, running, draw, new, in_run=True)):
                continue
            ended = end(trial, running, number)
            assert ended in (code, 0), running.said
            trial.phases[f"exit {ended}"] += 1
    trial.complete()
    settle(trial.figures("SIGINT, SIGTERM", size.seed))


@sized("kind", [], ["postgres"], more=["postgres"])
def test_the_server_ends_the_session_in_mid_copy(
    size: Size, kind: str, begun: Begin, settle: Settle
) -> None:
    draw = random.Random(size.seed)
    trial = begun(kind)
    assert isinstance(trial.warehouse, PostgresWarehouse)
    for _ in range(kills_of(size) // 2):
        with terminated(trial.warehouse, draw.randint(1, 12)) as hits, trial.started() as running:
            code = running.process.wait()
        assert code == (69 if hits else 0), running.said
        trial.faults += len(hits)
        trial.phases[f"exit {code}"] += 1
        if not trial.nights.run_ids or set(trial.nights.run_ids) == trial.look():
            break
    trial.complete()
    settle(trial.figures("session ended in COPY", size.seed))


@contextmanager
def terminated(warehouse: PostgresWarehouse, after: int) -> Iterator[list[int]]:
    """Ends the session that is at its so-manieth COPY; the list gets its process."""
    hits: list[int] = []
    ended = Event()

    def look() -> None:
        seen = 0
        with warehouse.connect() as db:
            while not ended.is_set() and not hits:
                at = "state = 'active' AND query LIKE 'COPY%' AND datname = current_database()"
                found = db.execute(f"SELECT pid FROM pg_stat_activity WHERE {at}").fetchall()
                seen += len(found)
                if found and seen >= after:
                    again = f"SELECT pid FROM pg_stat_activity WHERE {at}"
                    ask = f"SELECT pid, pg_terminate_backend(pid) FROM ({again}) AS busy"
                    hits.extend(pid for pid, is_done in db.execute(ask.encode()) if is_done)

    thread = Thread(target=look, daemon=True)
    thread.start()
    try:
        yield hits
    finally:
        ended.set()
        thread.join()


@sized("kind", [], _FULL, more=_SMALL)
def test_purge_during_a_load(size: Size, kind: str, begun: Begin, settle: Settle) -> None:
    draw = random.Random(size.seed)

    def trials() -> Iterator[Figures]:
        for _ in range(max(1, size.kills // 10)):
            trial = begun(kind)
            out = trial.own_nights()
            scope = batch_screen.PurgeScope(out, out / ".state", date(2026, 11, 27))
            with trial.started() as running:
                at_a_moment(trial, running, draw, trial.nights.run_ids, in_run=True)
                try:
                    batch_screen.purge(scope)
                    trial.phases["purged"] += 1
                except RunLockedError:
                    trial.phases["purge refused"] += 1
                code = running.process.wait()
            assert code in (0, 75), running.said
            trial.phases[f"exit {code}"] += 1
            trial.faults = 1
            trial.complete()
            loaded = trial.look()
            left = {path.parent.name for path in out.glob("runs/*/_SUCCESS")}
            assert left <= loaded
            yield trial.figures("purge", size.seed, sorted(loaded))

    settle(combine(f"load {kind}: purge meanwhile", trials()))
