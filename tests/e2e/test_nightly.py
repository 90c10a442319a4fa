"""What a scheduler gets: lines it can read, files, calls, exit codes, whatever way a run ends."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import stat
import subprocess
import termios
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from batch_screen.sandbox.latency import Latency
from batch_screen.sandbox.run import SandboxThread
from tests.discretion import leaks, secrets_in
from tests.e2e.starting import begin
from tests.thoroughness import in_full
from tests.unit.notify.listener import Call, Listener, listening

from .conftest import (
    COMMAND,
    KEY,
    NUMBERS,
    Desk,
    Finished,
    clean,
    new_sandbox,
    run_command,
    until,
    write_csv,
)

SECRET = "ping-5up3r-s3cret"
STOPPED_AT = {"time", "level", "event", "message", "exit_code", "may_pass"}


def lines_of(done: Finished) -> list[dict[str, Any]]:
    """Stderr, which has to be JSON lines and nothing else."""
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", done.err), "a control character"
    found = [json.loads(line) for line in done.err.splitlines()]
    for line in found:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
        assert line["level"] in ("info", "warning", "error")
    return found


def environment(listener: Listener, folder: Path) -> dict[str, str | None]:
    pings = {
        f"BATCH_SCREEN_PINGS__{name.upper()}_URL": listener.url(f"/{name}/{SECRET}")
        for name in ("start", "finish", "failure", "webhook")
    }
    files = {
        "BATCH_SCREEN_OUTPUT__SUMMARY_FILE": str(folder / "last.json"),
        "BATCH_SCREEN_METRICS__FILE": str(folder / "last.prom"),
    }
    return {**pings, **files}


def last(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / "last.json").read_bytes())
    return told


@dataclass
class Night:
    """How a start ended, and what it left for others."""

    done: Finished
    told: dict[str, Any]
    metrics: str
    calls: list[Call]

    def figure(self, name: str) -> float:
        [value] = re.findall(rf"^batch_screen_{name} (\S+)$", self.metrics, re.MULTILINE)
        return float(value)


@dataclass
class Nights:
    """Starts of one command: well, stopped, resumed, over a threshold, without a key."""

    desk: Desk
    by_name: dict[str, Night]
    requests: int

    def __getitem__(self, name: str) -> Night:
        return self.by_name[name]


FAILS = ("--fail-if", "rows_change < -20%", "--fail-if", "failure_rate > 50%")


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    folder = tmp_path_factory.mktemp("nights")
    found: dict[str, Night] = {}
    with listening() as listener, new_sandbox() as server:
        desk = Desk(folder, server.url, NUMBERS[:60], environment=environment(listener, folder))

        def keep(name: str, done: Finished) -> None:
            metrics = (folder / "last.prom").read_text("utf-8")
            found[name] = Night(done, last(folder), metrics, listener.calls[:])
            listener.calls.clear()

        keep("good", desk.run("--json", *FAILS))
        with desk.started("--run-date", "2026-03-03", "--rate", "30") as running:
            until(lambda: server.statistics()["requests"] > 65)
            keep("stopped", running.end(signal.SIGTERM))
        keep("resumed", desk.run("--run-date", "2026-03-03"))
        requests = server.statistics()["requests"]
        write_csv(desk.list, NUMBERS[:30])
        keep("fewer", desk.run("--run-date", "2026-03-04", "--log-format", "text", *FAILS))
        no_key = {**desk.environment, "BATCH_SCREEN_API_KEY": None}
        dated = "--run-date", "2026-03-05"
        keep("no key", desk.run(*dated, "--json", environment=no_key))
    return Nights(desk, found, requests)


def test_exit_codes_and_whom_they_are_told(nights: Nights) -> None:
    codes = {name: night.done.code for name, night in nights.by_name.items()}
    assert codes == {"good": 0, "stopped": 143, "resumed": 0, "fewer": 3, "no key": 77}
    for night in nights.by_name.values():
        start, end, webhook = night.calls
        which = "failure" if night.done.code else "finish"
        assert [call.path for call in (start, end, webhook)] == [
            f"/{name}/{SECRET}" for name in ("start", which, "webhook")
        ]
        assert f"exit code {night.done.code}, {night.told['status']}" in end.body.decode()
        assert json.loads(webhook.body) == night.told
        assert night.told["exit_code"] == night.figure("exit_code") == night.done.code


def test_a_good_night(nights: Nights) -> None:
    good = nights["good"]
    assert json.loads(good.done.out) == good.told
    assert all((nights.desk.out / name).exists() for name in good.told["files"])
    assert [each["crossed"] for each in good.told["thresholds"]] == [False, False]
    assert "no earlier complete run" in good.told["thresholds"][0]["note"]
    events = lines_of(good.done)
    stages = [e["stage"] for e in events if e["event"] == "stage"]
    assert stages == ["reading", "asking", "writing"]
    assert {e.get("run_id") for e in events[1:]} == {good.told["run_id"]}
    assert (events[-1]["event"], events[-1]["exit_code"]) == ("finished", 0)


def test_a_night_that_a_signal_ends_sums_itself_up(nights: Nights) -> None:
    stopped = nights["stopped"]
    events = lines_of(stopped.done)
    assert "stopping" in [e["event"] for e in events]
    assert events[-1].keys() == {*STOPPED_AT, "run_id"}
    assert (events[-1]["event"], events[-1]["exit_code"]) == ("stopped", 143)
    assert events[-1]["may_pass"] is True
    assert stopped.told["status"] == "stopped"
    assert stopped.told["stopped"]["exit_code"] == 143
    [asked] = stopped.told["endpoints"].values()
    assert asked["total"] + asked["left"] == 60
    assert 0 < asked["left"] < 60
    assert "left ........." in stopped.done.out
    assert nights.requests == 2 * 60, "the next start has bought nothing again"


def test_successes_are_kept_while_others_fail(nights: Nights) -> None:
    success = "last_success_timestamp_seconds"
    times = [nights[name].figure(success) for name in nights.by_name]
    assert 0 < times[0] == times[1] < times[2] == times[3] == times[4]
    complete = [nights[name].figure("last_complete_timestamp_seconds") for name in nights.by_name]
    assert complete[2] < complete[3] == complete[4]


def test_a_threshold_that_is_crossed(nights: Nights) -> None:
    fewer, before = nights["fewer"], nights["resumed"].told["run_id"]
    assert "rows_change < -20%: crossed, -50.00% seen" in fewer.done.out
    assert "asking: 0 of 30" in fewer.done.err
    crossed, held = fewer.told["thresholds"]
    assert (crossed["expr"], crossed["seen"], crossed["crossed"]) == (FAILS[1], -0.5, True)
    assert (crossed["previous_run"], held["crossed"]) == (before, False)
    assert fewer.figure("thresholds_crossed") == 1
    of_run = nights.desk.out / "runs" / fewer.told["run_id"] / "summary.json"
    assert json.loads(of_run.read_bytes())["thresholds"] == fewer.told["thresholds"]


def test_a_night_that_does_not_begin(nights: Nights) -> None:
    refused = nights["no key"]
    [error] = lines_of(refused.done)
    assert error.keys() == STOPPED_AT
    assert (error["event"], error["exit_code"], error["may_pass"]) == ("error", 77, False)
    assert json.loads(refused.done.out) == refused.told
    assert (refused.told["status"], refused.told["run_id"]) == ("failed", "")
    assert "--api-key-file" in refused.told["stopped"]["cause"]


def test_nothing_leaks_to_whoever_is_told(nights: Nights) -> None:
    desk = nights.desk
    said = [text for n in nights.by_name.values() for text in (n.done.out, n.done.err, n.metrics)]
    said += [call.body.decode() for n in nights.by_name.values() for call in n.calls]
    assert [text for text in said if SECRET in text] == []
    assert leaks(desk.out, said, KEY, NUMBERS) == []
    for name, mode in ("last.json", 0o600), ("last.prom", 0o644):
        assert stat.S_IMODE((desk.folder / name).stat().st_mode) == mode
        assert secrets_in((desk.folder / name).read_bytes(), KEY, NUMBERS) == set()


def test_whoever_cannot_be_told_ends_nothing(
    sandbox: Callable[..., SandboxThread], tmp_path: Path
) -> None:
    """A call that fails is one line of warning that names the host alone."""
    with listening(status=302) as listener:
        desk = Desk(tmp_path, sandbox().url, NUMBERS[:5])
        desk.environment = environment(listener, tmp_path)
        done = desk.run()
    assert done.code == 0, done.err
    warnings = [e["message"] for e in lines_of(done) if e["event"] == "warning"]
    assert len(warnings) == len(listener.calls) == 3
    assert all("127.0.0.1 failed: it answered with status 302" in each for each in warnings)
    assert SECRET not in done.err + done.out
    elsewhere = {"BATCH_SCREEN_METRICS__FILE": str(tmp_path / "no" / "x.prom")}
    refused = desk.run("--new-run", environment=elsewhere)
    assert (refused.code, "there is no folder" in refused.error) == (73, True)


@in_full
def test_a_disk_that_is_full_is_told_where_there_is_room(
    sandbox: Callable[..., SandboxThread], tmp_path: Path
) -> None:
    """The figures reach the other file though the output folder takes no more."""
    desk = Desk(tmp_path, sandbox().url, NUMBERS[:300])
    small = ("bash", "-c", 'ulimit -f 24 && exec "$@"', "-")
    done = subprocess.run(
        [*small, COMMAND, *map(str, desk.arguments("--summary-file", tmp_path / "last.json"))],
        capture_output=True,
        text=True,
        env=clean(),
        timeout=60,
        check=False,
    )
    assert done.returncode == 73, done.stderr
    told = last(tmp_path)
    assert (told["exit_code"], told["stopped"]["exit_code"]) == (73, 73)
    assert "File too large" in told["stopped"]["cause"]
    assert told["status"] == "stopped"
    [asked] = told["endpoints"].values()
    assert asked["total"] + asked["left"] == 300


def test_heartbeats_say_how_long_it_will_take(tmp_path: Path) -> None:
    with new_sandbox(latency=Latency(seconds=0.05)) as server:
        desk = Desk(tmp_path, server.url, NUMBERS[:80], toml="[output]\nheartbeat_seconds = 0.2\n")
        done = desk.run("--rate", "40")
    assert done.code == 0, done.err
    beats = [e for e in lines_of(done) if e["event"] == "heartbeat" and e["stage"] == "asking"]
    timed = [beat for beat in beats if "per_second" in beat]  # the first ones know no speed yet
    assert timed
    for beat in timed:
        assert beat["total"] == 80
        left = (80 - beat["done"]) / beat["per_second"]
        assert beat["seconds_left"] == pytest.approx(left, abs=0.2)


@pytest.mark.parametrize("form", ["auto", "text"])
def test_what_a_cron_mail_holds(tmp_path: Path, form: str) -> None:
    """Also where the environment asks for colours: no escape and no carriage return, ever."""
    desk = Desk(tmp_path, "http://127.0.0.1:9/nobody", NUMBERS[:5])
    loud = {"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1", "TERM": "xterm-256color"}
    done = run_command(
        *("run", desk.list, "--out", desk.out, "--sandbox", "--log-format", form),
        environment={"NO_COLOR": "1"} if form == "auto" else loud,
    )
    assert done.code == 0, done.err
    mail = done.out + done.err
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", mail), mail
    assert secrets_in(mail, KEY, NUMBERS) == set()


def test_on_a_terminal_there_is_a_bar_and_no_colour(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "http://127.0.0.1:9/nobody", NUMBERS[:5])
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    command = [str(COMMAND), "run", str(desk.list), "--out", str(desk.out), "--sandbox"]
    with (
        open(theirs, "wb", buffering=0) as stderr,  # noqa: PTH123 (a descriptor, not a path)
        Path(os.devnull).open("wb") as stdout,
    ):
        process = begin(command, stdout=stdout, stderr=stderr, env=clean())
    with process:
        shown = b""
        while chunk := _read(ours):
            shown += chunk
        assert process.wait(timeout=60) == 0
    os.close(ours)
    assert b"asking:" in shown
    assert b"\r" in shown
    assert not re.search(rb"\x1b\[[\d;]*m", shown), "a colour"


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # so Linux says that nobody writes any more
        return b""
