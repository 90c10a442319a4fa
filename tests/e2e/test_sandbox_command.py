"""``batch-screen sandbox`` as a process of its own."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

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
    assert {"flaky", "throttling", "all-401"} <= {line.split()[0] for line in done.out.splitlines()}
