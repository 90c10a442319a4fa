"""The installed command as a subprocess, a sandbox as its API, and what both leave behind."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
import pytest

from batch_screen.model import Endpoint
from batch_screen.sandbox.answers import Population, World, truth
from batch_screen.sandbox.config import SandboxConfig
from batch_screen.sandbox.contract import Problem
from batch_screen.sandbox.run import SandboxThread
from tests.e2e.starting import WarmProcess, begin, complete

COMMAND = Path(sys.executable).with_name("batch-screen")
KEY = "e2e-7Qf3vXw9-distinctive"
DAY = "2026-03-02"
NOW = datetime(2026, 3, 2, tzinfo=UTC)
ALL = "all"
CONCURRENCY = 16

# Ofcom and Bundesnetzagentur keep these free for books and films.
NUMBERS = [f"+442079460{i:03}" for i in range(1000)] + [f"+493023125{i:03}" for i in range(1000)]
WHOLE_NUMBER = re.compile(r"(?:20\W{0,2}7946\W?0|30\W{0,2}23125\W?)\d{3}")
TELLING = Population(swapped_share=0.4, forwarding_share=0.3, not_found_share=0.0)
"""Many positives, so that an answer given to the wrong number shows."""

_TOML = f"""
[pacing]
rate_per_second = 1000
ramp_up_seconds = 0
max_concurrency = {CONCURRENCY}
[retry]
base_delay_seconds = 0.01
"""
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    # Whatever a test forgets to say, nothing leaves this machine.
    "BATCH_SCREEN_API__BASE_URL": "http://127.0.0.1:9/nobody",
    "BATCH_SCREEN_API_KEY": KEY,
    "PYTHONFAULTHANDLER": "1",  # where a crash in native code happened, which is rarely seen twice
}
_AGES = {"_age_hours", "_age_band", "_recent"}  # at the moment of the answer
_RECORD_OF_A_START = {
    "run_id",
    "latency_ms",
    "responded_at",
    "correlator",
    "unanswered",
    "window_start",
    "window_end",
    *_AGES,
}

T = TypeVar("T")


@dataclass
class Finished:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that says what was wrong."""
        errors = [line for line in self.lines if line.startswith("Error: ")]
        assert len(errors) == 1, self.err
        return errors[0]

    @property
    def lines(self) -> list[str]:
        """What stderr got, as text: without a terminal ``run`` writes JSON."""
        return [as_text(line) for line in self.err.splitlines()]


def as_text(line: str) -> str:
    """A line of JSON as the text that a terminal would have got."""
    if not line.startswith("{"):
        return line
    told = json.loads(line)
    message, event = told.get("message", ""), told["event"]
    if event in ("error", "stopped"):
        return f"Error: {message}"
    if event == "warning":
        return f"warning: {message}"
    return message or f"{told.get('stage', event)}: {told.get('done', '')}"


def run_command(
    *arguments: object,
    environment: Mapping[str, str | None] | None = None,
    stdin: bytes = b"",
    umask: int = 0o022,
    cwd: Path | None = None,
    is_cold: bool = False,
) -> Finished:
    """The command's end. Whatever it said holds no traceback, no whole number and no key."""
    done = complete(
        [str(COMMAND), *map(str, arguments)],
        env=clean(environment),
        stdin=stdin,
        umask=umask,
        cwd=cwd,
        is_cold=is_cold,
    )
    return discreet(Finished(done.returncode, done.stdout.decode(), done.stderr.decode()))


def discreet(said: Finished) -> Finished:
    for text in (said.out, said.err):
        assert "Traceback" not in text, text
        assert KEY not in text
        assert not WHOLE_NUMBER.search(text), text
    return said


def clean(changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """An environment of our own; None takes a variable out."""
    merged = {**_ENVIRONMENT, **(changes or {})}
    return {name: value for name, value in merged.items() if value is not None}


def until(claim: Callable[[], T], seconds: float = 60, *, every: float = 0.002) -> T:
    """What the claim says as soon as that is true, looked at every so many seconds."""
    deadline = time.monotonic() + seconds
    while not (said := claim()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(every)
    return said


def peak_mib(process: int) -> float:
    """The most memory so far; rusage would count what the tests themselves had at the fork."""
    try:
        status = Path(f"/proc/{process}/status").read_text("utf-8")
    except (FileNotFoundError, ProcessLookupError):
        status = ""
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0  # it has just ended


def write_csv(path: Path, cells: Sequence[str], header: str = "phone") -> Path:
    path.write_text("".join(f"{line}\n" for line in (header, *cells)), "utf-8")
    return path


class Background:
    """The command while it runs."""

    def __init__(
        self, process: subprocess.Popen[bytes] | WarmProcess, stderr: Path, stdout: Path
    ) -> None:
        self.process = process
        self._stderr = stderr
        self._stdout = stdout

    @property
    def said(self) -> str:
        return self._stderr.read_text("utf-8")

    @property
    def heard(self) -> str:
        """What it was started for, so far."""
        return self._stdout.read_text("utf-8")

    def end(self, *signals: signal.Signals) -> Finished:
        """How it ends by itself, or after the signals, the second once it heard the first."""
        for number, each in enumerate(signals):
            if number:
                until(lambda: "stopping" in self.said)
            self.process.send_signal(each)
        self.process.wait(timeout=60)
        return discreet(Finished(self.process.returncode, self._stdout.read_text(), self.said))


@dataclass
class Desk:
    """A list of numbers, a configuration, an output folder, and the address to ask."""

    folder: Path
    url: str
    cells: Sequence[str] = ()
    toml: str = ""
    options: tuple[str, ...] = ()
    environment: Mapping[str, str | None] = field(default_factory=dict)
    is_cold: bool = False
    out: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.out = self.folder / "out"
        self.list = self.folder / "list.csv"
        if self.cells:
            write_csv(self.list, self.cells)
        self.configuration = self.folder / "settings.toml"
        self.configuration.write_text(_TOML + self.toml, "utf-8")

    def arguments(self, *more: object, command: str = "run") -> list[object]:
        settings = ["--config", self.configuration, "--base-url", self.url]
        where = ["--out", self.out, "--run-date", DAY]
        inputs = [self.list] if self.cells else []
        return [command, *inputs, *where, *settings, *self.options, *more]

    def run(self, *more: object, **kwargs: Any) -> Finished:
        how = {"environment": self.environment, "is_cold": self.is_cold, **kwargs}
        return run_command(*self.arguments(*more), **how)

    def plan(self, *more: object) -> dict[str, Any]:
        done = run_command(*self.arguments("--json", *more, command="plan"))
        assert done.code == 0, done.err
        found: dict[str, Any] = json.loads(done.out)
        return found

    @contextmanager
    def started(self, *more: object) -> Iterator[Background]:
        """The command in the background; it is killed if it outlives the block."""
        with self.begun(*self.arguments(*more)) as going:
            yield going

    @contextmanager
    def begun(self, *arguments: object) -> Iterator[Background]:
        """As ``started``, with whatever arguments."""
        stdout, stderr = self.folder / "stdout", self.folder / "stderr"
        with stdout.open("wb") as out, stderr.open("wb") as err:
            process = begin(
                [str(COMMAND), *map(str, arguments)],
                stdout=out,
                stderr=err,
                env=clean(self.environment),
                is_cold=self.is_cold,
            )
        with process:
            try:
                yield Background(process, stderr, stdout)
            finally:
                process.kill()

    @property
    def latest(self) -> Output:
        return Output(self.out)


class Output:
    """The output folder's latest run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.latest = json.loads((folder / "latest.json").read_bytes())
        self.run_id: str = self.latest["run_id"]
        self.reports = folder / "runs" / self.run_id

    def parts(self, table: str) -> list[Path]:
        day = self.folder / table / f"run_date={self.latest['run_date']}"
        return sorted(day.glob(f"{self.run_id}-?????.parquet"))  # not those of -2

    def frame(self, table: str) -> pl.DataFrame:
        return pl.concat([pl.read_parquet(p, hive_partitioning=False) for p in self.parts(table)])

    def report(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.reports / name).read_bytes())
        return found

    @property
    def content(self) -> dict[str, Any]:
        """All that does not depend on when and how often the run was started."""
        tables = {name: _lasting(self.frame(name)) for name in ("results", "lookups", "errors")}
        summary = self.report("summary.json")
        for figures in summary["endpoints"].values():
            del figures["latency_ms"], figures["unanswered"]
        del (
            summary["session"],
            summary["starts"],
            summary["risk"],
            summary["run_id"],
            summary["settings"]["api.base_url"],
        )
        names = [p.name.removeprefix(self.run_id) for t in tables for p in self.parts(t)]
        errors = (self.reports / "errors.csv").read_text("utf-8").replace(self.run_id, "")
        schema = self.report("schema.json")
        return {"summary": summary, "names": names, "errors": errors, "schema": schema, **tables}


def _lasting(frame: pl.DataFrame) -> list[dict[str, Any]]:
    passing = [n for n in frame.columns if any(n.endswith(word) for word in _RECORD_OF_A_START)]
    return frame.drop(passing).to_dicts()


def known(number: str, endpoint: Endpoint, window: int | None, world: World) -> dict[str, Any]:
    """The values that ``lookups`` should publish, straight from the sandbox's truth."""
    said = truth(number, endpoint, window, world)
    values = dict.fromkeys(("swapped", "active", "latest_change", "latest_change_at"))
    if isinstance(said, Problem):
        outcome = {403: "forbidden", 404: "not_found"}[said.status]
        return {**values, "outcome": outcome, "latest_change_raw": None, "code": said.code}
    date = next((v for name, v in said.items() if name.startswith("latest")), None)
    if endpoint.answers_date:
        values["latest_change"] = "none_reported" if date is None else "reported"
        values["latest_change_at"] = datetime.fromisoformat(str(date)) if date else None
    else:
        values |= said
    return {**values, "outcome": "success", "latest_change_raw": date, "code": None}


def assert_true(lookups: pl.DataFrame, world: World) -> None:
    """Every success in ``lookups`` is what the world knows of that number."""
    assert lookups.height
    for row in lookups.filter(pl.col("outcome") == "success").iter_rows(named=True):
        expected = known(row["e164"], Endpoint(row["endpoint"]), row["max_age_minutes"], world)
        assert {name: row[name] for name in expected} == expected, row


@pytest.fixture
def sandbox() -> Iterator[Callable[..., SandboxThread]]:
    """Starts sandboxes that end with the test."""
    with ExitStack() as stack:

        def begin(port: int = 0, **settings: Any) -> SandboxThread:
            return stack.enter_context(new_sandbox(port, **settings))

        yield begin


def new_sandbox(port: int = 0, **settings: Any) -> SandboxThread:
    # Strict, so that the client cannot send what no page knows.
    defaults = {"now": NOW, "keys": (KEY,), "population": TELLING, "strict_body": True}
    return SandboxThread(SandboxConfig(**{**defaults, **settings}), port=port)
