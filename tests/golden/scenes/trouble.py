"""Runs that are stopped, killed or answered badly."""

from __future__ import annotations

import re

from tests.golden.lists import BERLIN, LONDON, MAGIC, NEW_YORK, column
from tests.golden.stage import Stage

ALL = ("--endpoints", "all")
DATED = ("--run-date", "2026-03-02")
KILLED = ("list.csv", "--endpoints", "sim-swap/check,device-swap/check,call-forwarding/check")
"""What the recorded run was started with that was killed."""
KILLED_NUMBERS = [*LONDON[:400], *BERLIN[:300]]
KILLED_SETTINGS = "[output]\nshard_lookups = 1000\nheartbeat_seconds = 600\n"

# Each is at once its own lookup's matter alone: they neither stop the run nor take long.
_ODD_NUMBERS = (
    *("05", "06", "07", "08", "09", "12", "13", "14", "15", "16", "17", "18"),
    *("20", "21", "22", "23", "24", "25", "26", "27", "28", "29", "30", "31", "32"),
    *("34", "40", "43", "44", "45", "50", "51", "52", "53", "54", "55"),
)


def budget(stage: Stage) -> None:
    """Stopped by each of its budgets, looked at, and resumed to the end."""
    stage.write("list.csv", column(*LONDON[:30], *BERLIN[:20], "n/a"))
    # One by one, for which are under way when it stops would be chance.
    settings = stage.configure(
        "[screening]\nendpoints = ['sim-swap/check', 'device-swap/check']\n"
        "[pacing]\nmax_concurrency = 1\nrate_per_second = 1000\nramp_up_seconds = 0\n"
    )
    run = ("list.csv", "--sandbox", *DATED, "--config", settings)
    stage.run(*run, "--max-requests", "30")
    stage.keep_runs()
    folder = ("--config", settings, "--out", "out")
    stage.play("status", *folder)
    stage.play("status", *folder, "--json")
    stage.play("validate", "out")
    stage.play("report", "out", "--run", next(iter(stage.steady.run_ids)), "--write", "page.html")
    stage.play("plan", *run, "--out", "out", "--max-requests", "60")
    stage.run(*run, "--max-age-minutes", "240")
    stage.run(*run, "--max-cost", "1.00", "--log-format", "text")
    stage.run(*run, "--run-date", "2026-03-03", "--max-requests", "3")
    stage.run(*run)
    _keep_resumed(stage)


def _keep_resumed(stage: Stage) -> None:
    (stage.folder / "out").rename(stage.folder / "resumed")
    stage.keep_runs("resumed")
    stage.play("validate", "resumed")


def killed(stage: Stage) -> None:
    """A run that was killed half-way by an earlier program, and goes on with this one."""
    stage.write("list.csv", column(*KILLED_NUMBERS))
    stage.write("killed.toml", KILLED_SETTINGS)
    stage.unpack("killed")
    folder = ("--config", "killed.toml", "--out", "out")
    stage.keep_runs()
    stage.play("status", *folder)
    stage.play("plan", *KILLED, *folder, *DATED, "--sandbox")
    fast = {"BATCH_SCREEN_PACING__RATE_PER_SECOND": "2000"}
    ordered = (*DATED, "--sandbox", "--in-order")
    stage.run(*KILLED, "--config", "killed.toml", *ordered, environment=fast)
    _keep_resumed(stage)


def patchy(stage: Stage) -> None:
    """Many refused for good, some failing once; more failures than are allowed."""
    stage.write("list.csv", column(*LONDON[:15], *BERLIN[:10]))
    with stage.sandbox("--profile", "patchy", "--profile", "flaky") as url:
        stage.run("list.csv", *ALL, *DATED, "--base-url", url, "--log-format", "text")
        stage.keep_runs()
        stage.play("validate", "out")


def malformed(stage: Stage) -> None:
    """Answers that cannot be read, and dates that are no dates."""
    stage.write("list.csv", column(*LONDON[:40], *BERLIN[:10]))
    profiles = ("--profile", "malformed", "--profile", "odd-dates", "--profile", "compressed")
    with stage.sandbox(*profiles) as url:
        stage.run("list.csv", *ALL, *DATED, "--base-url", url)
        stage.keep_runs()
        stage.play("validate", "out")


def single_odd(stage: Stage) -> None:
    """Numbers that each make the sandbox misbehave in their own way."""
    stage.write("list.csv", column(*LONDON[:12], *(MAGIC + each for each in _ODD_NUMBERS)))
    stage.run("list.csv", *ALL, *DATED, "--sandbox")
    stage.keep_runs()
    stage.play("validate", "out")


def _without_tries(text: str) -> str:
    """Without how often a connection was tried, which a busy machine does less often."""
    lines = [line for line in text.splitlines(keepends=True) if "next try in" not in line]
    return re.sub(r"tried for \d+ s", "tried for <n> s", "".join(lines))


def stops(stage: Stage) -> None:
    """What the API can do to a run that no later lookup would make good: one line and a code."""
    stage.write("list.csv", column(*LONDON[:60], *NEW_YORK[:20]))
    # One by one, for how many are under way when it stops would be chance.
    quickly = stage.configure(
        "[guards]\nunreachable_seconds = 1\n"
        "[pacing]\nmax_concurrency = 1\nrate_per_second = 1000\nramp_up_seconds = 0\n"
    )
    asked = ("list.csv", *DATED, "--config", quickly)
    profiles = (
        "all-400",
        "all-401",
        "all-402",
        "all-403",
        "all-404",
        "all-redirect",
        "all-unreadable",
    )
    for number, profile in enumerate(profiles):
        with stage.sandbox("--profile", profile) as url:
            stage.run(*asked, "--base-url", url, "--out", f"out{number}")
    for name, options in {"quota": ("--quota", 20), "revoked": ("--revoke-after", 20)}.items():
        with stage.sandbox(*options) as url:
            stage.run(*asked, "--base-url", url, "--out", name)
    with stage.sandbox("--profile", "endpoint-403") as url:
        stage.run(*asked, *ALL, "--base-url", url, "--out", "one", "--log-format", "text")
        stage.keep_runs("one")
    stage.run(*asked, "--out", "nobody", edit=_without_tries)
