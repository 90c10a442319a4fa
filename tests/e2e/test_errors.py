"""Whatever is wrong is one clear line and an exit code, before anything is asked."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from batch_screen.sandbox.latency import Latency
from batch_screen.sandbox.run import SandboxThread
from tests.e2e.starting import begin
from tests.thoroughness import IS_FULL, in_full
from tests.threads import at_once

from .conftest import (
    COMMAND,
    NUMBERS,
    Desk,
    Finished,
    clean,
    discreet,
    new_sandbox,
    run_command,
    until,
    write_csv,
)

NUMBER = NUMBERS[123]
LISTED = "\n".join(["phone", *NUMBERS[:3], ""])
NO_KEY: dict[str, str | None] = {"BATCH_SCREEN_API_KEY": None}


@dataclass
class Wrong:
    """One mistake: its exit code and the words that name it."""

    code: int
    words: tuple[str, ...]
    options: tuple[str, ...] = ()
    content: str | bytes = LISTED
    toml: str = ""
    environment: dict[str, str | None] = field(default_factory=dict)


WRONG = {
    "missing-file": Wrong(66, ("nothere.csv",), ("nothere.csv",)),
    "number-for-a-file": Wrong(66, ("+4420•",), (NUMBER,)),
    "empty-file": Wrong(65, ("list.csv", "empty"), content=""),
    "header-only": Wrong(65, ("list.csv", "no rows"), content="phone,name\n"),
    "missing-column": Wrong(65, ("Did you mean 'phone'",), ("--phone-column", "fone")),
    "number-for-a-column": Wrong(65, ("no phone column",), ("--phone-column", NUMBER)),
    "two-phone-columns": Wrong(
        65,
        ("mobile (+4••", "telephone (+4••", "--phone-column"),
        content=f"mobile,telephone\n{NUMBER},{NUMBERS[1]}\n",
    ),
    "no-header": Wrong(65, ("--no-header",), content="\n".join(NUMBERS[:5])),
    "rubbish": Wrong(65, ("not certain which column",), content="phone\nn/a\n?\n-\n"),
    "rubbish-named": Wrong(
        65,
        ("none of the 2 rows holds a usable number in column 'name'",),
        ("--phone-column", "name"),
        content=f"name,phone\nZoë,{NUMBER}\nJosé,{NUMBER}\n",
    ),
    "excel": Wrong(65, ("Excel",), content=b"PK\x03\x04 and so on"),
    "torn-gzip": Wrong(65, ("list.csv",), content=gzip.compress(LISTED.encode() * 99)[:-9]),
    "stdin-empty": Wrong(65, ("stdin",), ("-",)),
    "output-below-a-file": Wrong(73, ("list.csv",), ("--out", "list.csv/out")),
    "state-below-a-file": Wrong(73, ("list.csv",), ("--state-dir", "list.csv/state")),
    "no-key": Wrong(77, ("no API key", "--sandbox"), environment=NO_KEY),
    "key-file-missing": Wrong(
        77, ("not shown: no file", "No such file"), ("--api-key-file", "nokey")
    ),
    "unknown-setting": Wrong(
        2,
        ("settings.toml, line 9: ", "'guards.grace_secnds'", "did you mean grace_seconds?"),
        toml="[guards]\ngrace_secnds = 1\n",
    ),
    "no-toml": Wrong(2, ("settings.toml is not valid TOML",), toml="x = = 1\n"),
    "key-in-toml": Wrong(2, ("never belongs in a configuration",), toml="[api]\nkey = 'x'\n"),
    "unknown-variable": Wrong(
        2, ("BATCH_SCREEN_RATE is no setting",), environment={"BATCH_SCREEN_RATE": "1"}
    ),
    "bad-endpoint": Wrong(2, ("sim-swap/chek", "sim-swap/check"), ("--endpoints", "sim-swap/chek")),
    "window-0": Wrong(2, ("max_age_minutes",), ("--max-age-minutes", "0")),
    "unencrypted": Wrong(2, ("must be https://",), ("--base-url", "http://api.example.com/v1")),
    "distant-date": Wrong(2, ("2000 to 2100",), ("--run-date", "1999-12-31")),
    "all-and-more": Wrong(2, ("'all' stands alone",), ("--endpoints", "all,sim-swap/check")),
    "bad-date": Wrong(2, ("--run-date",), ("--run-date", "yesterday")),
    "region-without-numbers": Wrong(
        2,
        ("numbers.allowed_regions names 'XX'", "two-letter ISO 3166-1 codes such as DE"),
        ("--allow-regions", "DE,XX"),
    ),
    "region-in-full": Wrong(
        2, ("command line: numbers.denied_regions", "'GERMANY'"), ("--deny-regions", "Germany")
    ),
    "region-in-both": Wrong(
        2,
        ("allowed_regions and denied_regions both name GB",),
        ("--allow-regions", "GB", "--deny-regions", "UK"),
    ),
    "region-unset": Wrong(2, ("'--allow-regions': must not be empty",), ("--allow-regions", "")),
    "unknown-default-region": Wrong(
        2, ("input.default_region is 'XX'",), ("--default-region", "XX")
    ),
    "no-opt-out-list": Wrong(
        66, ("opt-out list no.txt: there is no such file",), ("--opt-out", "no.txt")
    ),
    "opt-out-list-is-a-folder": Wrong(
        66, ("opt-out list .: it is not a regular file",), ("--opt-out", ".")
    ),
    "opt-out-unset": Wrong(2, ("'--opt-out': must not be empty",), ("--opt-out", "")),
    "opt-out-unreadable": Wrong(
        65,
        ("opt-out list list.csv: row 3 (pr", "nothing is asked, for it may be somebody"),
        ("--opt-out", "list.csv"),
        content=f"phone\n{NUMBER}\n{NUMBERS[1]}\nprivat\n",
    ),
    "unknown-option": Wrong(2, ("--max-age",), ("--max-age", "4")),
}


SIMILAR = {
    "number-for-a-column",
    "torn-gzip",
    "state-below-a-file",
    "key-file-missing",
    "no-toml",
    "bad-date",
    "distant-date",
    "all-and-more",
    "region-without-numbers",
    "region-in-full",
    "region-in-both",
    "unknown-default-region",
    "opt-out-list-is-a-folder",
    "opt-out-unset",
    "unknown-option",
}
"""Refused where others of these are; tests/unit has each message."""


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxThread]:
    with new_sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def ended(
    server: SandboxThread, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Desk, Finished]]:
    """How each mistake ended."""
    folder = tmp_path_factory.mktemp("errors")

    def make(name: str) -> tuple[Desk, Finished]:
        wrong = WRONG[name]
        desk = Desk(folder / name, server.url, toml=wrong.toml)
        content = wrong.content.encode() if isinstance(wrong.content, str) else wrong.content
        desk.list.write_bytes(content)
        names_input = wrong.options and not wrong.options[0].startswith("--")
        inputs = [] if names_input else ["list.csv"]
        return desk, desk.run(
            *inputs, *wrong.options, environment=wrong.environment, cwd=desk.folder
        )

    names = [name for name in WRONG if IS_FULL or name not in SIMILAR]
    return dict(zip(names, at_once(make, names), strict=True))


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=in_full) if n in SIMILAR else n for n in WRONG]
)
def test_mistake_is_one_clear_line(ended: dict[str, tuple[Desk, Finished]], name: str) -> None:
    desk, done = ended[name]
    assert done.code == WRONG[name].code, done.err
    for words in WRONG[name].words:
        assert words in done.error
    others = [line for line in done.lines if line != done.error]
    told = (
        "reading: ",
        "opting out: ",
        "Usage: ",
        "Try ",
    )  # the last two where click knows the command's help
    assert [line for line in others if line and not line.startswith(told)] == []
    assert done.out == ""
    assert len(done.error) < 700
    assert not (desk.out / "latest.json").exists()


def test_nothing_was_asked(ended: dict[str, tuple[Desk, Finished]], server: SandboxThread) -> None:
    assert server.statistics()["requests"] == 0


def test_mistakes_leave_no_run_behind(ended: dict[str, tuple[Desk, Finished]]) -> None:
    for desk, _ in ended.values():
        assert [p for p in desk.out.rglob("*") if p.name == "run.json"] == []


_BAD_SANDBOX = (["sandbox", "--port", "70000"], ["sandbox", "--journal", "/nowhere/at/all"])


def test_unknown_command_and_profile() -> None:
    for arguments in (
        ["screen"],
        ["sandbox", "--profile", "falky"],
        ["sandbox", "--latency", "x"],
        *_BAD_SANDBOX,
    ):
        done = run_command(*arguments)
        assert done.code == 2
        assert done.error


def test_plan_without_input_or_output(tmp_path: Path) -> None:
    assert "INPUT" in run_command("plan").error
    listed = write_csv(tmp_path / "list.csv", NUMBERS[:2])
    done = run_command("run", listed, environment={})
    assert (done.code, done.error) == (2, "Error: no output folder: name one with --out")


def test_state_folder_is_locked(sandbox: Callable[..., SandboxThread], tmp_path: Path) -> None:
    server = sandbox(latency=Latency(seconds=0.5))
    desk = Desk(tmp_path, server.url, NUMBERS[:200])
    with desk.started() as first:
        until(lambda: server.statistics()["requests"] > 0)
        second = desk.run()
        assert second.code == 75
        assert f"another run holds {desk.out}" in second.error
        assert f"process {first.process.pid}, since " in second.error
        assert first.end(signal.SIGTERM).code == 143
    assert server.statistics()["repeats"] == 0


@pytest.fixture
def unfinished(sandbox: Callable[..., SandboxThread], tmp_path: Path) -> tuple[Desk, Any]:
    """A run that was stopped on its way, and its server."""
    server = sandbox()
    desk = Desk(tmp_path, server.url, NUMBERS[:60])
    with desk.started("--rate", "60") as running:
        until(lambda: server.statistics()["requests"] >= 20)
        assert running.end(signal.SIGTERM).code == 143
    return desk, server


def test_changed_settings_of_an_unfinished_run(unfinished: tuple[Desk, SandboxThread]) -> None:
    desk, server = unfinished
    before = server.statistics()["requests"]
    changed = desk.run("--max-age-minutes", "240")
    assert changed.code == 2
    assert "screening.max_age_minutes was 2400, now 240" in changed.error
    assert "--new-run" in changed.error
    assert desk.plan("--rate", "7")["resumes"] is not None  # pace is no part of the identity
    assert desk.plan("--run-date", "2026-03-03")["resumes"] is None
    assert server.statistics()["requests"] == before


@in_full
def test_new_date_tells_of_the_unfinished_run_and_pays_again(
    unfinished: tuple[Desk, SandboxThread],
) -> None:
    desk, server = unfinished
    before = server.statistics()["answered_lookups"]
    done = desk.run("--run-date", "2026-03-03")
    assert done.code == 0
    assert "is unfinished; --run-date 2026-03-02 resumes it" in done.err
    assert server.statistics()["requests"] == before + 60
    assert desk.run("--new-run", "--max-age-minutes", "240").code == 0
    assert server.statistics()["requests"] == before + 120


def test_damaged_state_is_refused_and_kept(unfinished: tuple[Desk, SandboxThread]) -> None:
    desk, server = unfinished
    before = server.statistics()["requests"]
    (segment,) = desk.out.glob(".state/runs/*/journal/*.journal")
    content = segment.read_bytes()
    damaged = content.replace(b'"e164":"+44', b'"e164":"+45', 1)
    segment.write_bytes(damaged)
    done = desk.run()
    assert done.code == 73
    assert segment.name in done.error
    assert "is damaged" in done.error
    assert segment.read_bytes() == damaged
    segment.write_bytes(content[:-7])  # but a torn tail is what a crash leaves
    assert desk.run().code == 0
    assert server.statistics()["requests"] - before <= 60


@pytest.mark.parametrize(
    ("redirection", "code"),
    [
        pytest.param("run list.csv --sandbox --out out >&-", 0, marks=in_full),
        pytest.param("run list.csv --sandbox --out out 2>&-", 0, marks=in_full),
        ("run list.csv --sandbox --out out <&- >&- 2>&-", 0),
        pytest.param("run list.csv --sandbox --out out 2>/dev/full", 0, marks=in_full),
        pytest.param("run - --sandbox --out out <&-", 65, marks=in_full),
        pytest.param("run nothere.csv --sandbox --out out 2>/dev/full", 66, marks=in_full),
        pytest.param("plan list.csv >/dev/full", 73, marks=in_full),
        pytest.param("plan list.csv >&- 2>&-", 0, marks=in_full),
        pytest.param("plan list.csv | true", 0, marks=in_full),
    ],
)
def test_streams_that_cannot_be_used(tmp_path: Path, redirection: str, code: int) -> None:
    write_csv(tmp_path / "list.csv", NUMBERS[:3])
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{COMMAND} {redirection}"],
        capture_output=True,
        text=True,
        env=clean(),
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    discreet(Finished(done.returncode, done.stdout, done.stderr))
    assert done.returncode == code, done.stderr
    assert "bug" not in done.stderr
    assert "ignored" not in done.stderr  # Python's word at its end


def test_a_lost_document_is_no_success_for_those_who_wait(tmp_path: Path) -> None:
    write_csv(tmp_path / "list.csv", NUMBERS[:3])
    files = "--summary-file last.json --metrics-file last.prom"
    command = [str(COMMAND), *f"run list.csv --sandbox --out out {files} --json".split()]
    with Path("/dev/full").open("wb") as out, Path(os.devnull).open("wb") as err:
        process = begin(command, stdout=out, stderr=err, env=clean(), cwd=tmp_path)
    with process:
        assert process.wait(60) == 73
    last = json.loads((tmp_path / "last.json").read_bytes())
    assert (last["status"], last["exit_code"]) == ("complete", 73)
    assert "exit_code 73.0" in (tmp_path / "last.prom").read_text("utf-8")


def test_as_a_module() -> None:
    command = [sys.executable, "-m", "batch_screen", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "batch-screen, version" in done.stdout
