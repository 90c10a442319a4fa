"""``batch-screen sandbox`` as a process of its own."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from batch_screen.model import Endpoint
from batch_screen.sandbox.profiles import PROFILES

from .conftest import COMMAND, NUMBERS, Desk, clean, run_command


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sandbox_serves_until_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    log = tmp_path / "requests.jsonl"
    arguments = ["sandbox", "--port", "0", "--seed", "7", "--journal", str(log)]
    with subprocess.Popen(
        [COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean()
    ) as process:
        try:
            assert process.stdout
            ready, statistics = (process.stdout.readline().decode() for _ in range(2))
            found = re.search(r"sandbox at (http://127\.0\.0\.1:\d+/\S+), key (\S+);", ready)
            assert found, ready
            desk = Desk(tmp_path / "desk", found[1], NUMBERS[:10])
            done = desk.run(environment={"BATCH_SCREEN_API_KEY": found[2]})
            assert done.code == 0, done.err
            with urllib.request.urlopen(statistics.split()[-1]) as answer:
                assert json.loads(answer.read())["requests"] == 10
        finally:
            process.send_signal(number)
        out, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert (out.decode(), err.decode()) == ("served 10 requests\n", "")
    numbers = [json.loads(line)["number"] for line in log.read_text().splitlines()]
    assert sorted(numbers) == NUMBERS[:10]


def test_profiles_are_listed() -> None:
    done = run_command("sandbox", "--profiles")
    assert done.code == 0
    assert {line.split()[0] for line in done.out.splitlines()} == PROFILES.keys()


def test_one_endpoint_has_a_limit_of_its_own() -> None:
    limit = ["--rate-limit-at", "sim-swap/check=0", "--rate-window", "bucket"]
    with subprocess.Popen(
        [COMMAND, "sandbox", "--port", "0", "--json", *limit], stdout=subprocess.PIPE, env=clean()
    ) as process:
        try:
            assert process.stdout
            told = json.loads(process.stdout.readline())
            statuses = {each: ask(f"{told['url']}/{each}", told["key"]) for each in Endpoint}
        finally:
            process.terminate()
            process.communicate(timeout=10)
    assert statuses.pop(Endpoint.SIM_SWAP_CHECK) == 429
    assert set(statuses.values()) == {200}


def ask(url: str, key: str) -> int:
    body = json.dumps({"phoneNumber": "+46701740605"}).encode()
    headers = {"Content-Type": "application/json", "apiKey": key}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("sim-swap/check", "'sim-swap/check' is no limit; write it as sim-swap/check=5"),
        ("sim-swap/check=-5", "'sim-swap/check=-5' is no limit"),
        ("sim-swap=5", "the API has no endpoint 'sim-swap'; choose among sim-swap/check,"),
    ],
)
def test_limits_that_cannot_be_meant(limit: str, message: str) -> None:
    done = run_command("sandbox", "--port", "0", "--rate-limit-at", limit)
    assert done.code == 2
    assert message in done.error
