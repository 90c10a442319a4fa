"""Shows what the judge itself adds: how unevenly it sees requests that are sent evenly."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.pacing import figures, trial
from benchmarks.pacing.timetable import Timetable

RATES = (10, 100, 1_000, 3_000)
SECONDS = 15
_UNLIMITED = Timetable.read("1000000")


def main() -> None:
    print("| sent evenly, per second | worst second sent | worst second seen |")
    print("|---|---|---|")
    for rate in RATES:
        with tempfile.TemporaryDirectory(prefix="batch-screen-pacing-") as name:
            folder = Path(name)

            def metronome(url: str, rate: int = rate) -> list[str]:
                module = "benchmarks.pacing.clients.metronome"
                question = f"{url}/sim-swap/check"
                return [sys.executable, "-m", module, question, str(rate), str(SECONDS)]

            tried = trial.run(
                metronome, folder, trial.Conditions(_UNLIMITED), most_seconds=2 * SECONDS
            )
            sent = int((folder / "output.txt").read_text())
        seen = figures.worst_second(tried.arrivals)
        print(f"| {rate:,} | {sent:,} | {seen:,} |", flush=True)


if __name__ == "__main__":
    main()
