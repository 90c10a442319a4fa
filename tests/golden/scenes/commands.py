"""Commands that ask nothing: help, settings, doctor, and those that look at folders."""

from __future__ import annotations

import re

from tests.golden.lists import CUSTOMERS, LONDON, MAGIC, column
from tests.golden.stage import Stage

COMMANDS = (
    *("check", "completion", "config", "diff", "doctor", "init", "load", "plan", "purge"),
    *("report", "run", "runs", "sandbox", "status", "unload", "upload", "validate"),
)


def help_of_all(stage: Stage) -> None:
    stage.play("--version")
    stage.play()
    stage.play("--help")
    for command in COMMANDS:
        stage.play(command, "--help")
    for shell in ("bash", "zsh", "fish"):
        stage.play("completion", shell)
    stage.play("completion", "bash", "--json")
    for words in ("batch-screen ", "batch-screen run --endpoints ", "batch-screen run --max"):
        completed = {
            "_BATCH_SCREEN_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        }
        stage.play(environment=completed)
    stage.play("sandbox", "--profiles")
    stage.play("sandbox", "--profiles", "--json")


def settings(stage: Stage) -> None:
    stage.play("config")
    stage.play("config", "--json")
    more = stage.configure(
        '[screening]\nendpoints = ["all"]\n[schedule]\nstop_at = "06:00"\n'
        '[schedule.rate_per_second_by_hour]\n"22-06" = 50\n[guards]\nfail_if = ["rows < 10"]\n'
    )
    where = ("--config", more, "--out", "screened", "--rate", "7.5", "--deny-regions", "US,CA")
    hidden = {
        "BATCH_SCREEN_API_KEY_FILE": "no-key-is-read",
        "BATCH_SCREEN_RETRY__MAX_ATTEMPTS": "6",
        "BATCH_SCREEN_PINGS__WEBHOOK_URL": "https://example.org/a-secret",
        "BATCH_SCREEN_NUMBERS__TEST_NUMBERS": LONDON[7],
    }
    stage.play("config", *where, environment=hidden)
    stage.play("config", *where, "--json", environment=hidden)
    before = {*stage.folder.iterdir()}
    stage.play("init", "--yes")
    for path in {*stage.folder.iterdir()} - before:
        stage.keep(path.name, path.read_text("utf-8"))
    stage.play("init", "--yes")
    choices = ("--endpoints", "all", "--region-column", "country", "--rate", "25", "--out", "out")
    stage.play("init", "chosen.toml", *choices, "--yes", "--json")
    stage.keep("chosen.toml", (stage.folder / "chosen.toml").read_text("utf-8"))
    stage.play("init", "chosen.toml", *choices, "--force")
    stage.play("config", "--config", "chosen.toml")


def doctor(stage: Stage) -> None:
    """Its lines, but for how much room and time there is."""
    stage.write("customers.csv", CUSTOMERS)
    stage.write("key", "sandbox-key\n")
    (stage.folder / "key").chmod(0o600)
    key = ("--api-key-file", "key")
    common = ("customers.csv", "--config", stage.settings, "--out", "out")
    with stage.sandbox() as url:
        asked = (*common, "--base-url", url, *key)
        stage.play("doctor", *asked, edit=_without_sizes)
        stage.play("doctor", *asked, "--json", edit=_without_sizes)
        stage.play(
            "doctor", *asked, "--canary", LONDON[3], "--endpoints", "all", edit=_without_sizes
        )
        (stage.folder / "key").chmod(0o644)
        stage.play("doctor", *asked, edit=_without_sizes)
    stage.play("doctor", *common, "--sandbox", edit=_without_sizes)
    stage.play("doctor", "nothere.csv", "--config", stage.settings, edit=_without_sizes)
    stage.play("doctor", *common, environment={"BATCH_SCREEN_API_KEY": None}, edit=_without_sizes)
    stage.play("doctor", "--config", stage.write("wrong.toml", "[api]\nbase = 1\n"))
    stage.play("doctor", *common[:-1], "customers.csv/out", edit=_without_sizes)


def _without_sizes(text: str) -> str:
    """Disk, files that may be open, clock and the way to the server are the machine's own."""
    text = re.sub(r"[\d.,]+ (GiB|MiB|ms|s)\b", r"<n> \1", text)
    return re.sub(r"[\d,]+ permitted", "<n> permitted", text)


def folders(stage: Stage) -> None:
    """What looks at a complete run, at one that was stopped, and at nothing."""
    stage.unpack("night")
    stage.write("list.csv", column(*LONDON[:40]))
    stop = ("--run-date", "2026-03-03", "--max-requests", "15")
    stage.run("list.csv", "--sandbox", *stop, "--log-format", "text")
    stage.play("validate", "out", "--all")
    for as_json in ((), ("--json",)):
        stage.play("status", "--out", "out", *as_json)
        stage.play("report", "out", "--write", f"page{len(as_json)}.html", *as_json)
        stage.play(
            "purge", "--out", "out", "--older-than", "1d", "--dry-run", *as_json, edit=_undated
        )
    nobody = MAGIC + "99"
    for arguments in (
        ("validate", "nothere"),
        ("validate", "out", "--run", "20260101-0123456789"),
        ("report", "nothere"),
        ("status", "--out", "nothere"),
        ("diff", "out", "nothere"),
        ("diff", "20260302-0123456789", "20260302-0123456789", "--out", "out"),
        ("purge", "--out", "out"),
        ("purge", "--out", "out", "--older-than", "1d"),
        ("purge", "--out", "out", "--older-than", "a while"),
        ("purge", "--out", nobody, "--older-than", "1d", "--dry-run"),
    ):
        stage.play(*arguments, edit=_undated)
    purge = ("purge", "--out", "out", "--older-than", "1d", "--yes")
    stage.play(*purge, "--outputs-only", edit=_undated)
    stage.play("status", "--out", "out")
    stage.play(*purge, "--unfinished", "--json", edit=_undated)
    stage.play("status", "--out", "out")
    stage.keep_runs()


def _undated(text: str) -> str:
    """The day so many days before today."""
    return re.sub(r"(\bbefore(?: |\": \"))20\d\d-\d\d-\d\d", r"\1<day>", text)
