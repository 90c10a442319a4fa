"""What an operator asks the installed command: how is it, where does it stand, what is old."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from batch_screen.cli.main import cli
from batch_screen.config.load import load_settings
from batch_screen.sandbox.run import SandboxThread
from tests.thoroughness import in_full

from .conftest import DAY, KEY, NUMBERS, Background, Desk, Finished, clean, run_command, until

OLD = "2025-01-05"
FROM_FILE: dict[str, str | None] = {"BATCH_SCREEN_API__BASE_URL": None}
Begin = Callable[..., SandboxThread]


def ask(*arguments: object, columns: int = 80) -> Finished:
    """The command with the address that its configuration file says."""
    return run_command(*arguments, environment={**FROM_FILE, "COLUMNS": str(columns)})


def test_every_command_offers_json() -> None:
    without = {
        name
        for name, command in cli.commands.items()
        if not any("--json" in option.opts for option in command.params)
    }
    assert without == set()


def test_a_run_from_its_configuration_to_its_removal(sandbox: Begin, tmp_path: Path) -> None:
    """init → doctor → run, stopped → status → the command it prints → status → purge."""
    server = sandbox()
    desk = Desk(tmp_path, server.url, NUMBERS[:120])
    written = tmp_path / "deep" / "config.toml"
    key_file = tmp_path / "key"
    key_file.write_text(KEY)
    key_file.chmod(0o644)
    chosen = ("--rate", "40", "--out", desk.out, "--api-key-file", key_file)
    made = ask("init", written, "--yes", "--base-url", server.url, *chosen)
    assert made.code == 0, made.err
    assert written.stat().st_mode & 0o777 == 0o600
    assert load_settings(config=written).pacing.rate_per_second == 40
    again = ask("init", written, "--yes")
    assert (again.code, "--force" in again.error) == (73, True)

    health = ask("doctor", desk.list, "--config", written)
    assert health.code == 0, health.out
    said = " ".join(health.out.split())
    assert "mode 0644 lets other users in" in said
    assert f"to do: chmod 600 {key_file}" in said
    assert re.search(r"list.csv, about 1[12]\d rows", said)
    assert server.statistics()["answered_lookups"] == 0
    key_file.chmod(0o600)
    canary = ask("doctor", "--config", written, "--canary", NUMBERS[0], "--json")
    assert json.loads(canary.out)["exit_code"] == canary.code == 0, canary.out
    assert server.statistics()["answered_lookups"] == 1
    assert "may be billed" in canary.err

    mistyped = ask("status", "--config", written)
    assert (mistyped.code, "nothing has run there" in mistyped.out) == (66, False)
    desk.options = ("--config", str(written))
    with desk.started("--run-date", OLD, "--rate", "12") as going:
        _look_while_it_runs(desk, going, server)
        assert going.end(signal.SIGTERM).code == 143
    asked = server.statistics()["answered_lookups"]
    stopped = ask("status", "--out", desk.out, "--config", written)
    [line] = [x for x in stopped.out.splitlines() if "batch-screen run" in x]
    copied = shlex.split(line.split("....... ")[1])
    assert copied[:2] == ["batch-screen", "run"]
    resumed = ask(*copied[1:], "--rate", "1000")
    assert resumed.code == 0, resumed.err
    assert server.statistics()["answered_lookups"] == 120
    assert asked < 120

    fresh = desk.run("--rate", "1000")
    assert fresh.code == 0, fresh.err
    _purge(desk, written)


def _look_while_it_runs(desk: Desk, going: Background, server: SandboxThread) -> None:
    until(lambda: server.statistics()["answered_lookups"] > 5)

    def running() -> dict[str, object] | None:
        told = json.loads(ask("status", "--out", desk.out, "--json").out)
        heartbeat = told["heartbeat"] or {}
        return told if heartbeat.get("per_second") else None

    told = until(running)
    assert told["holder"]["pid"] == going.process.pid
    [run] = told["runs"]
    assert (run["state"], run["lookups"], run["run_date"]) == ("running", 120, OLD)
    assert 0 < run["done"] < 120
    assert 1 < told["heartbeat"]["per_second"] < 30
    assert 0 < told["seconds_left"] < 120
    narrow, wide = (ask("status", "--out", desk.out, columns=columns).out for columns in (80, 200))
    for seen in (narrow, wide):
        assert "running" in seen
        assert max(map(len, seen.splitlines()[1:])) <= 80  # the first names the folder
    held = ask("doctor", "--out", desk.out, "--config", desk.configuration, "--sandbox")
    assert held.code == 75
    assert f"held by process {going.process.pid}" in " ".join(held.out.split())
    refused = ask("purge", "--out", desk.out, "--older-than", "90d", "--unfinished", "--yes")
    assert refused.code == 75


def _purge(desk: Desk, written: Path) -> None:
    kept = desk.latest
    old_id = next(p.name for p in (desk.out / "runs").iterdir() if p.name != kept.run_id)
    (desk.out / "runs" / old_id / "notes.txt").write_text("mine")
    days = max(0, (datetime.now(UTC).date() - date.fromisoformat(DAY)).days) + 1
    wanted = ("purge", "--config", written, "--older-than", f"{days}d")
    before = sorted(desk.out.rglob("*"))
    seen = ask(*wanted, "--dry-run")
    assert seen.code == 0
    assert old_id in seen.out
    assert "notes.txt" in seen.out
    assert kept.run_id not in seen.out
    unasked = ask(*wanted)
    assert unasked.code == 2
    assert "--yes" in unasked.error
    assert sorted(desk.out.rglob("*")) == before
    done = ask(*wanted, "--yes", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["removed"] is True
    left = [str(p) for p in desk.out.rglob("*") if old_id in str(p) and p.is_file()]
    assert left == [str(desk.out / "runs" / old_id / "notes.txt")]
    assert not list(desk.out.glob(f"*/run_date={OLD}"))
    assert ask("validate", desk.out).code == 0
    assert desk.run("--rate", "1000").code == 0  # the newer one is complete as it was


def test_the_settings_are_a_file_that_can_be_pasted(tmp_path: Path) -> None:
    config = tmp_path / "mine.toml"
    config.write_text(
        f"""
[api]
proxy = 'http://me:s3cret-proxy@127.0.0.1:1'
[api.paths]
'sim-swap/check' = '/v2/"quoted"'
[numbers]
test_numbers = ['{NUMBERS[0]}']
[input]
keep_columns = ['a\\b', 'é']
"""
    )
    told = run_command("config", "--config", config, "--rate", "7.5", "--delimiter", "tab")
    assert told.code == 0, told.err
    assert "s3cret-proxy" not in told.out
    assert f"from {config}, line 3" in told.out
    assert "rate_per_second = 7.5  # from the command line" in told.out
    assert "from the variable BATCH_SCREEN_API__BASE_URL" in told.out
    assert "# API key: read from the variable BATCH_SCREEN_API_KEY\n" in told.out
    pasted = tmp_path / "pasted.toml"
    pasted.write_text(told.out)
    hidden = {"api": {"proxy", "base_url"}, "numbers": {"test_numbers"}}
    one, other = (
        load_settings(config=file).model_dump(exclude=hidden) for file in (config, pasted)
    )
    one["pacing"]["rate_per_second"], one["input"]["delimiter"] = 7.5, "\t"
    assert other == one
    as_json = json.loads(run_command("config", "--config", config, "--json").out)
    by_name = {each["name"]: each for each in as_json["settings"]}
    assert by_name["numbers.test_numbers"]["is_masked"] is True
    assert by_name["api.proxy"]["value"] == "http://•••@127.0.0.1:1"
    wrong = run_command("config", "--rate", "0")
    assert (wrong.code, "pacing.rate_per_second" in wrong.error) == (2, True)


def test_status_where_there_is_nothing(tmp_path: Path) -> None:
    empty = run_command("status", "--out", tmp_path)
    assert (empty.code, "nothing has run there" in empty.out) == (0, True)
    assert json.loads(run_command("status", "--out", tmp_path, "--json").out)["runs"] == []
    assert run_command("status", "--out", tmp_path / "no").code == 66
    assert run_command("status").code == 2
    assert run_command("purge", "--older-than", "90", "--out", tmp_path).code == 2
    assert run_command("purge", "--older-than", "90d", "--out", tmp_path / "no").code == 66
    broken = run_command("doctor", "--rate", "0")
    assert broken.code == 2
    assert "command line: pacing.rate_per_second" in broken.out
    assert list(tmp_path.iterdir()) == []


@in_full
def test_init_asks_on_a_terminal(tmp_path: Path) -> None:
    """What cannot be meant is asked for again; nobody asks for the key itself."""
    master, slave = pty.openpty()
    command = [str(Path(sys.executable).with_name("batch-screen")), "init", "asked.toml"]
    with subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, env=clean(), cwd=tmp_path
    ) as process:
        os.close(slave)
        os.write(master, b"screened\n\nGermany\nde\nall\nfast\n25\n\n")
        said = b""
        while b"next: " not in said:
            said += os.read(master, 1024)
        process.wait(timeout=30)
    os.close(master)
    text = said.decode()
    assert process.returncode == 0, text
    assert text.count("Error: ") == 2
    assert text.count("Region of numbers") == 2
    found = load_settings(config=tmp_path / "asked.toml")
    assert (found.output.folder, found.input.default_region) == ("screened", "DE")
    assert (found.pacing.rate_per_second, len(found.screening.endpoints)) == (25, 5)
    assert "#phone_column = " in (tmp_path / "asked.toml").read_text()
    assert run_command("init", tmp_path / "b.toml").code == 2


COMPLETING = """
eval "$(batch-screen completion bash)"
COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
$(complete -p batch-screen | sed 's/.*-F \\([^ ]*\\) .*/\\1/') batch-screen
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("batch-screen run --endpoints sim", ["sim-swap/check", "sim-swap/retrieve-date"]),
        *(
            pytest.param(*each, marks=in_full)
            for each in [
                (
                    "batch-screen plan --endpoints sim-swap/check,dev",
                    ["sim-swap/check,device-swap/check"],
                ),
                ("batch-screen run --deny-regions DE,A", ["DE,AT", "DE,AU"]),
                ("batch-screen check --default-region g", ["GB", "GR"]),
                ("batch-screen pu", ["purge"]),
            ]
        ),
    ],
)
def test_completion_in_bash(words: str, completed: list[str]) -> None:
    folder = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "--norc", "-c", COMPLETING.format(words=words)],
        capture_output=True,
        text=True,
        env={**clean(), "PATH": f"{folder}:{os.environ['PATH']}"},
        timeout=60,
        check=True,
    )
    assert set(completed) <= set(done.stdout.split()), done.stdout + done.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_for_other_shells(shell: str) -> None:
    done = run_command("completion", shell)
    assert done.code == 0, done.err
    assert re.search(r"_BATCH_SCREEN_COMPLETE=\w+_complete", done.out)
    told = json.loads(run_command("completion", shell, "--json").out)
    assert told == {"shell": shell, "script": done.out.removesuffix("\n")}
