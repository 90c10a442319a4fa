"""Night after night: windows that reach back, answers used again, changes, thresholds.

The first night is a recorded one, of which every time is known; what it says of itself is exact.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.golden.lists import BERLIN, CUSTOMERS, LONDON, NEW_YORK, customers
from tests.golden.stage import Stage

LISTED = ("customers.csv", "--region-column", "country", "--sandbox")
# New York's of these numbers have later dates by the second seed, the others mostly have not.
_MOVE = (1, 4, 5, 6, 8, 10, 11, 14, 15, 18, 22, 23, 24, 27, 28, 31)
_STAY = (0, 1, 8, 10, 13, 14, 22, 24, 26, 29, 43, 51, 58, 63, 67)
NIGHT = (*LISTED, "--endpoints", "all", "--keep-columns", "customer_id", "--run-date", "2026-03-02")
"""The command that the recorded night was started with."""


def written_again(stage: Stage) -> None:
    """The recorded night's files are gone, and written anew from its state: to the last figure."""
    stage.steady.is_exact = True
    stage.write("customers.csv", CUSTOMERS)
    stage.unpack("night")
    stage.play("report", "out", "--write", "first.html")
    for table in ("results", "lookups", "errors", "runs"):
        shutil.rmtree(stage.folder / "out" / table)
    (stage.folder / "out" / "latest.json").unlink()
    stage.note("all files of the run are removed; its state stays")
    stage.play("status", "--out", "out")
    stage.run(*NIGHT, "--json")
    stage.keep_runs(whole_pages=True)
    stage.play("validate", "out")


def next_night(stage: Stage) -> None:
    """The night after, with a list that is a little different, and one after two missed nights."""
    lines = CUSTOMERS.splitlines()
    more = ["N-01,Bristol,+44 20 7946 0801,GB", "N-02,Köln,+49 30 23125 801,DE"]
    stage.write("customers.csv", "\n".join([*lines[:20], *lines[24:], *more]) + "\n")
    checks = ("sim-swap/check,sim-swap/retrieve-date,call-forwarding/check",)
    since = (*LISTED, "--endpoints", *checks, "--max-age", "since-last-run")
    where = ("--config", stage.settings, "--out", "out")
    # Each follows the recorded night: minutes since a run of just now could be one more or less.
    for out in ("out", "late", "gap"):
        stage.unpack("night", out)
    stage.play("plan", *since, *where, "--run-date", "2026-03-03")
    stage.play("plan", *since, *where, "--run-date", "2026-03-03", "--json")
    fails = ("--fail-if", "rows_change < -20%", "--fail-if", "numbers_change < -1%")
    stage.run(*since, "--run-date", "2026-03-03", *fails)
    swaps = (*LISTED, "--endpoints", "sim-swap/check", "--max-age", "since-last-run")
    dated = ("--run-date", "2026-03-06", "--log-format", "text")
    stage.run(*swaps, *dated, "--out", "late")
    gaps = {"BATCH_SCREEN_SCREENING__BEYOND_WINDOW": "report-gap"}
    stage.run(*swaps, *dated, "--out", "gap", environment=gaps)
    for out in ("out", "late", "gap"):
        stage.play("validate", out)
        _remove_night(stage.folder / out)
        stage.keep_runs(out)


def planner(stage: Stage) -> None:
    """Fewer requests for the same answers: derived, used again, of no interest."""
    stage.unpack("night")
    stage.write("customers.csv", CUSTOMERS)
    frugal = stage.configure(
        "[planner]\nderive_checks = true\n"
        'only_where_changed = { "device-swap/check" = "sim-swap/check" }\n'
        "[planner.reuse_within_minutes]\n"
        '"sim-swap/retrieve-date" = 720\n"device-swap/retrieve-date" = 60\n'
    )
    run = (*LISTED, "--endpoints", "all", "--config", frugal, "--run-date", "2026-03-03")
    stage.play("plan", *run, "--out", "out")
    stage.play("plan", *run, "--out", "out", "--json")
    stage.run(*run)
    stage.play("validate", "out")
    _remove_night(stage.folder / "out")
    stage.keep_runs()


def _remove_night(out: Path) -> None:
    """What the recorded night left is in another scene."""
    for path in [*out.rglob("20260302-*")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def changes(stage: Stage) -> None:
    """Two nights of which the second has other answers, and a migration."""
    names = ("--endpoints", "sim-swap/check,sim-swap/retrieve-date,call-forwarding/check")
    cohorts = stage.configure("[cohorts]\nmin_numbers = 10\nmin_share = 0.1\nmin_rise = 2\n")
    others = [*(LONDON[i] for i in _STAY), *(BERLIN[i] for i in _STAY)]
    first = [*others, *(NEW_YORK[i] for i in _MOVE), *LONDON[200:203]]
    second = [*others, *(NEW_YORK[i] for i in _MOVE), *LONDON[203:205]]
    run = ("list.csv", *names, "--config", cohorts, "--keep-columns", "customer_id")
    port = 0
    for seed, numbers, day in ((0, first, "2026-03-02"), (5, second, "2026-03-03")):
        stage.write("list.csv", customers(numbers))
        with stage.sandbox("--seed", seed, port=port) as url:
            stage.run(*run, "--base-url", url, "--run-date", day)
            port = int(url.split(":")[2].partition("/")[0])
    stage.keep_runs(of_date="20260303")
    both = [path.name for path in sorted((stage.folder / "out" / "runs").iterdir())]
    stage.play("diff", *both, "--out", "out", "--write", "changed.parquet")
    stage.keep_table("changed.txt", stage.folder / "changed.parquet")
    stage.play("diff", *both, "--out", "out", "--json")
    stage.play("diff", *reversed(both), "--out", "out")
    stage.play("diff", "out", f"out/runs/{both[0]}")
    stage.play("validate", "out")
