"""Shows how much memory a run takes: a million rows with 300,000 distinct numbers by default.

Writes a list into a temporary folder, starts ``batch-screen sandbox`` as a process of its own
on loopback, runs the installed ``batch-screen plan`` and ``batch-screen run`` against it and
prints what each stage took. Exits with 1 if a command's peak is above the promise.

The numbers are made up by a formula. Some ranges they lie in are in use, for no range kept
free for examples is large enough; so the list goes to the local sandbox only, and is removed.

Only the standard library is imported: the kernel counts the memory of the process that starts
a command into that command's peak, so this one must stay small.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

LIMIT_MIB = 600
COMMAND = str(Path(sys.executable).with_name("batch-screen"))
STAGES = ("starting", "reading", "asking", "writing")
ENDPOINTS = (
    "sim-swap/check",
    "sim-swap/retrieve-date",
    "device-swap/check",
    "device-swap/retrieve-date",
    "call-forwarding/check",
)
SAMPLE_SECONDS = 0.02
MIB = 1024 * 1024

# Above every rate the sandbox can serve, so that it is the limit and not the pacer.
CONFIG = """
[input]
phone_column = "phone"
region_column = "country"
keep_columns = ["all"]

[pacing]
rate_per_second = 100_000
ramp_up_seconds = 0
max_concurrency = 64

[logging]
format = "text"

[output]
heartbeat_seconds = 1
"""

HEADER = "customer_id,phone,country,branch,opened,balance\n"
# The comma makes quotes necessary, as most exports have them somewhere; they are also the
# slower and larger way through reading.
BRANCHES = ("Berlin Mitte", "Köln Ehrenfeld", '"Bristol, Harbourside"', "Chicago Loop")
JUNK = ("n/a", "unknown", "0171 12", "keine Angabe", "+49 171 1234567 / 0171 7654321")
JUNK_EVERY = 100
AREA_CODES = (
    "201 202 203 205 206 207 208 209 210 212 213 214 215 216 217 218 219 224 225 228 229 231 "
    "234 239 240 248 251 252 253 254 256 260 262 267 269 270 276 281 301 302 303 304 305 307 "
    "308 309 310 312 313 314 315 316 317 318 319 320 321 323 325 330 331 334 336 337 339 347 "
)
MOST_NUMBERS = 5 * 10_000 * len(AREA_CODES) // 4


class Stage(NamedTuple):
    """What one stage of a command took; the peak is sampled."""

    name: str
    seconds: float
    cpu_seconds: float
    peak_mib: float


class Finished(NamedTuple):
    """A command that has ended; the peak is the kernel's."""

    stages: list[Stage]
    seconds: float
    cpu_seconds: float
    peak_mib: float
    output: str


def write_list(path: Path, rows: int, numbers: int) -> None:
    """A CSV in which every number comes up about equally often, in changing writings."""
    # A stride that shares no factor with the count meets every number before any comes again.
    stride = next(s for s in range(numbers * 5 // 8, 2 * numbers) if _share_no_factor(s, numbers))
    usable = 0
    with path.open("w", encoding="utf-8") as file:
        file.write(HEADER)
        for row in range(rows):
            if row % JUNK_EVERY == JUNK_EVERY - 1:
                phone, country = JUNK[row // JUNK_EVERY % len(JUNK)], "DE"
            else:
                phone, country = written(usable * stride % numbers, row)
                usable += 1
            opened = f"20{row % 24:02}-{row % 12 + 1:02}-{row % 28 + 1:02}"
            branch = BRANCHES[row % len(BRANCHES)]
            file.write(f"C{row:09},{phone},{country},{branch},{opened},{row % 99_991}.50\n")


def written(number: int, row: int) -> tuple[str, str]:
    """The number as the row writes it, and the row's region; half DE, 3 in 10 GB, 2 in 10 US."""
    tens, kind = divmod(number, 10)
    if kind < 5:
        tail = f"{5 * tens + kind:07}"
        forms = (f"+49 171 {tail}", f"0171 {tail}", f"0171/{tail}", f"0049171{tail}")
        return forms[row % 4], "DE"
    if kind < 8:
        tail = f"{3 * tens + kind - 5:07}"
        head, rest = tail[:1], tail[1:]
        forms = (f"+44740{head}{rest}", f"0740{head} {rest}", f"(0740{head}) {rest}")
        return forms[row % 3], "GB"
    # Exchange 555 is kept for information services and films.
    area, line = divmod(2 * tens + kind - 8, 10_000)
    code = AREA_CODES[4 * area : 4 * area + 3]
    # With the 1 in front: without it, many could be meant as another country's.
    forms = (f"+1{code}555{line:04}", f"1 ({code}) 555-{line:04}", f"1-{code}-555-{line:04}")
    return forms[row % 3], "US"


def _share_no_factor(one: int, other: int) -> bool:
    while other:
        one, other = other, one % other
    return one == 1


@contextmanager
def sandbox() -> Iterator[tuple[str, int]]:
    """The address and process of a sandbox that runs meanwhile."""
    process = subprocess.Popen(
        [COMMAND, "sandbox", "--port", "0"], stdout=subprocess.PIPE, text=True, env=environment()
    )
    try:
        first = output_of(process.stdout).readline()
        yield first.removeprefix("sandbox at ").split(",")[0], process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def environment() -> dict[str, str]:
    """This one without anybody's settings, but with the sandbox's key."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("BATCH_SCREEN_")}
    return inherited | {"BATCH_SCREEN_API_KEY": "sandbox-key"}


def measured(*arguments: str, ends_with: int = 0) -> Finished:
    """Runs the command and returns what it took; exits with its message if it fails."""
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [COMMAND, *arguments],
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        watched = Watched(process.pid)
        said = [line for line in output_of(process.stderr) if not watched.hears(line)]
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        stages = watched.end()
        output.seek(0)
        text = output.read()
    if process.returncode != ends_with:
        sys.exit(f"{arguments[0]} ended with {process.returncode}:\n{''.join(said)}{text}")
    # Linux counts ru_maxrss in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return Finished(
        stages=stages,
        seconds=time.monotonic() - began,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mib=usage.ru_maxrss * unit / MIB,
        output=text,
    )


def output_of(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise RuntimeError("the process was started without a pipe")
    return pipe


class Watched:
    """Follows a process through its stages, which its heartbeat names."""

    def __init__(self, process: int) -> None:
        self._process = process
        self._name = STAGES[0]
        self._began = time.monotonic()
        self._cpu_began = self._cpu = 0.0
        self._peak_mib = 0.0
        self._stages: list[Stage] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()

    def hears(self, line: str) -> bool:
        """Whether the line was a heartbeat; a new stage's first one ends the stage before."""
        name = line.partition(":")[0]
        if name not in STAGES:
            return False
        if name != self._name:
            self._next(name)
        return True

    def end(self) -> list[Stage]:
        self._ended.set()
        self._sampler.join()
        self._next("")
        return self._stages

    def _next(self, name: str) -> None:
        with self._lock:
            now = time.monotonic()
            cpu_seconds = self._cpu - self._cpu_began
            self._stages.append(Stage(self._name, now - self._began, cpu_seconds, self._peak_mib))
            self._name, self._began, self._cpu_began = name, now, self._cpu
            self._peak_mib = 0.0

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            with self._lock:
                self._peak_mib = max(self._peak_mib, resident_mib(self._process))
                self._cpu = max(self._cpu, cpu_seconds(self._process))


def resident_mib(process: int, what: str = "VmRSS") -> float:
    """The process's memory now (``VmHWM``: at most so far); 0 where there is no /proc."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0
    sizes = [line.split()[1] for line in status.splitlines() if line.startswith(what)]
    return int(sizes[0]) / 1024 if sizes else 0.0


def cpu_seconds(process: int) -> float:
    """User and system time of the process so far; 0 where there is no /proc."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def show(command: str, finished: Finished) -> None:
    for stage in finished.stages:
        print(f"{command:6}{_cells(stage.name, *stage[1:])}")
    whole = (finished.seconds, finished.cpu_seconds, finished.peak_mib)
    print(f"{command:6}{_cells('whole', *whole)}", flush=True)


def _cells(name: str, seconds: float, cpu: float, peak_mib: float) -> str:
    return f"{name:10}{seconds:>9.1f}{cpu:>9.1f}{peak_mib:>10.0f}"


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--numbers", type=int, default=300_000, help="distinct ones")
    parser.add_argument("--endpoints", type=int, default=1, choices=range(1, len(ENDPOINTS) + 1))
    parser.add_argument("--limit-mib", type=int, default=LIMIT_MIB)
    parser.add_argument("--folder", type=Path, help="where to work; the files in it are kept")
    chosen = parser.parse_args()
    if not 0 < chosen.numbers <= chosen.rows * (JUNK_EVERY - 1) // JUNK_EVERY:
        parser.error("one row in a hundred is junk, so --numbers is at most 99 % of --rows")
    if chosen.numbers > MOST_NUMBERS:
        parser.error(f"--numbers is at most {MOST_NUMBERS:,}")
    return chosen


def benchmark(chosen: argparse.Namespace, folder: Path) -> int:
    """Runs both commands in the folder; returns the exit code."""
    source, config = folder / "customers.csv", folder / "config.toml"
    write_list(source, chosen.rows, chosen.numbers)
    config.write_text(CONFIG)
    lookups = chosen.numbers * chosen.endpoints
    size = source.stat().st_size / MIB
    print(f"{chosen.rows:,} rows, {chosen.numbers:,} numbers, {size:.0f} MiB; {lookups:,} lookups")
    print(f"{'':6}{'stage':10}{'seconds':>9}{'CPU s':>9}{'peak MiB':>10}", flush=True)
    asked = ",".join(ENDPOINTS[: chosen.endpoints])
    common = (str(source), "--config", str(config), "--endpoints", asked)
    planned = measured("plan", *common, "--json")
    found = json.loads(planned.output)["rows"]["unique_numbers"]
    if found != chosen.numbers:
        sys.exit(f"the plan found {found:,} numbers: the list is not what it should be")
    show("plan", planned)
    with sandbox() as (url, server):
        out = ("--out", str(folder / "out"), "--base-url", url)
        ran = measured("run", *common, *out)
        server_mib = resident_mib(server, "VmHWM")
    show("run", ran)
    asking = next(stage for stage in ran.stages if stage.name == "asking")
    print(
        f"{lookups / asking.seconds:,.0f} lookups/s, {1e6 * asking.cpu_seconds / lookups:.0f} µs "
        f"of CPU each; the sandbox took {server_mib:.0f} MiB, which are not counted"
    )
    peak = max(planned.peak_mib, ran.peak_mib)
    is_kept = peak <= chosen.limit_mib
    print(f"{'PASS' if is_kept else 'FAIL'}: {peak:.0f} MiB of at most {chosen.limit_mib} MiB")
    return 0 if is_kept else 1


def main() -> int:
    chosen = options()
    if chosen.folder:
        chosen.folder.mkdir(parents=True, exist_ok=True)
        return benchmark(chosen, chosen.folder)
    with tempfile.TemporaryDirectory(prefix="batch-screen-memory-") as folder:
        return benchmark(chosen, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
