"""What several workers of one machine make of a contract, beside one process.

First as fast as they can: attempts a second and CPU for each, against a server that answers after
10 ms and is not the limit as long as it has a core of its own. Then at a contract's rate: the share
of it that is used in the seconds between the start and the last shards, and the fullest second.
Prints a table.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import tables
from benchmarks.engine.speeds import Server, serving

_AT_ONCE = 1_000_000
_QUIET = slice(8, -4)


def measured(server: Server, numbers: int, *, workers: int, rate: float) -> dict[str, Any]:
    """The session of a run, and the CPU seconds of all its processes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cells = "".join(f"+49151{i:08}\n" for i in range(10_000_000, 10_000_000 + numbers))
        (folder / "list.csv").write_text("phone\n" + cells, "utf-8")
        (folder / "settings.toml").write_text(
            f"[output]\nshard_lookups = {max(1_000, numbers // 16)}\n[pacing]\n"
            f"ramp_up_seconds = 0\nmax_concurrency = 512\n",
            "utf-8",
        )
        command = [
            *(str(Path(sys.executable).with_name("batch-screen")), "run", folder / "list.csv"),
            *("--config", folder / "settings.toml", "--out", folder / "out", "--json"),
            *("--base-url", server.url, "--workers", str(workers), "--rate", str(rate)),
        ]
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "BATCH_SCREEN_API_KEY": "sandbox-key"},
        )
        _, status, used = os.wait4(process.pid, 0)
        if status:
            raise RuntimeError(f"the run has ended with {os.waitstatus_to_exitcode(status)}")
        [path] = (folder / "out").glob("runs/*/summary.json")
        session: dict[str, Any] = json.loads(path.read_bytes())["session"]
    return {**session, "cpu_seconds": used.ru_utime + used.ru_stime}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--numbers", type=int, default=200_000)
    parser.add_argument("--rate", type=float, default=400.0)
    parser.add_argument("--rated-numbers", type=int, default=20_000)
    chosen = parser.parse_args()
    fast = tables.Table("workers", "attempts/s", "CPU µs an attempt")
    paced = tables.Table("workers", "share of the rate", "fullest second", "slots lost")
    with serving(0.01) as server:
        for workers in (1, 2):
            found = measured(server, chosen.numbers, workers=workers, rate=_AT_ONCE)
            each = 1e6 * found["cpu_seconds"] / found["attempts"]
            fast.add(
                f"{workers}", f"{found['attempts'] / found['asking_seconds']:,.0f}", f"{each:,.0f}"
            )
        for workers in (1, 4):
            found = measured(server, chosen.rated_numbers, workers=workers, rate=chosen.rate)
            pace = found["pace"]
            attempts, limits = pace["attempts"][_QUIET], pace["limit_per_second"][_QUIET]
            crew = found.get("crew") or {}
            paced.add(
                f"{workers}",
                tables.percent(sum(attempts) / sum(limits)),
                f"{max(pace['attempts']):,} of {chosen.rate:,.0f}",
                f"{crew.get('slots_lost', 0):,}",
            )
    print(fast, paced, sep="\n\n")


if __name__ == "__main__":
    main()
