"""Runs under several contracts: regions with rates and keys of their own."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from batch_screen.sandbox.run import SandboxThread

from .conftest import KEY, NUMBERS, Desk, run_command, until

DE_KEY = "e2e-of-germany-9sKw2"
GB, DE = NUMBERS[:100], NUMBERS[1000:1060]
CELLS = [*GB, *DE]


def toml(folder: Path, rate: int = 500, **more: str) -> str:
    regions = {"DE": folder / "de.key", **more}
    keys = "".join(f'{region} = "{file}"\n' for region, file in regions.items())
    return f"[api.keys_by_region]\n{keys}[pacing.rate_per_second_by_region]\nDE = {rate}\n"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "de.key"
    path.write_text(f"{DE_KEY}\n")
    path.chmod(0o600)
    return path


def test_a_dead_key_costs_its_own_region_alone(
    sandbox: Callable[..., SandboxThread], tmp_path: Path, key_file: Path
) -> None:
    server = sandbox(keys=(KEY, DE_KEY))
    desk = Desk(tmp_path, server.url, CELLS, toml=toml(tmp_path))
    planned = desk.plan()
    assert planned["contracts"] == {
        "DE": {"rate_per_second": 500.0, "numbers": 60, "to_ask": 60, "seconds": 0.1},
        "others": {"rate_per_second": 1000.0, "numbers": 100, "to_ask": 100, "seconds": 0.1},
    }
    said = run_command(*desk.arguments(command="plan")).out
    assert "each contract at its own rate" in said
    assert "    DE              60 numbers, 60 to ask, 0.1 s at 500/s" in said

    key_file.write_text("e2e-revoked-key\n")
    stopped = desk.run()
    assert stopped.code == 77
    assert "contract of DE: " in stopped.error
    assert "what other contracts could ask is answered and saved" in stopped.error
    assert "given up" in stopped.out
    assert "e2e-revoked-key" not in stopped.out + stopped.err
    assert desk.plan()["contracts"]["others"]["to_ask"] == 0
    assert desk.plan()["contracts"]["DE"]["to_ask"] == 60

    key_file.write_text(f"{DE_KEY}\n")
    done = desk.run()
    assert done.code == 0, done.err
    assert DE_KEY not in done.out + done.err
    assert server.statistics()["answered_twice"] == 0
    assert desk.latest.frame("results").height == 160
    first, second = desk.latest.report("summary.json")["starts"]
    assert first["contracts"]["DE"]["gave_up"]
    assert first["contracts"]["others"]["attempts"] == 100
    assert second["contracts"]["DE"]["attempts"] == 60
    page = (desk.latest.reports / "report.html").read_text("utf-8")
    assert "<caption>Contracts</caption>" in page
    assert run_command("validate", desk.out).code == 0
    written = [p for p in desk.out.rglob("*") if p.is_file()]
    assert not [p for p in written if DE_KEY.encode() in p.read_bytes()]


def test_contracts_are_shown_while_they_are_asked(
    sandbox: Callable[..., SandboxThread], tmp_path: Path, key_file: Path
) -> None:
    server = sandbox(keys=(KEY, DE_KEY))
    desk = Desk(tmp_path, server.url, CELLS, toml=toml(tmp_path, rate=3))
    with desk.started("--rate", 20) as going:

        def shown() -> dict[str, dict[str, float]]:
            done = run_command("status", "--out", desk.out, "--json")
            beat = json.loads(done.out)["heartbeat"] if done.code == 0 else None
            return dict((beat or {}).get("contracts") or {})

        contracts = until(shown)
        assert {name: each["rate_per_second"] for name, each in contracts.items()} == {
            "DE": 3.0,
            "others": 20.0,
        }
        said = run_command("status", "--out", desk.out).out
        assert "contract" in said
        assert "of 3/s" in said
        stopped = going.end(signal.SIGTERM)
    assert stopped.code == 143
    assert "23/s allowed under all contracts" in stopped.out
    assert re.search(r"DE +\d+ requests, \d\.\d/s over .*, 3/s allowed$", stopped.out, re.MULTILINE)
    assert "given up" not in stopped.out


@pytest.mark.parametrize(
    ("settings", "code", "said"),
    [
        ("[pacing.rate_per_second_by_region]\nZZ = 5\n", 2, "names 'ZZ', which is no region"),
        ('[api.keys_by_region]\nZZ = "{key}"\n', 2, "names 'ZZ', which is no region"),
        ("[pacing.rate_per_second_by_region]\nGermany = 5\n", 2, "is neither a two-letter code"),
        ("[pacing.rate_per_second_by_region]\nDE = 0\n", 2, "must be more than 0"),
        ('[api.keys_by_region]\nDE = "{key}.missing"\n', 77, "No such file or directory"),
        ('[api.keys_by_region]\nDE = "{open}"\n', 77, "is open to others than its owner (mode"),
        ("[cluster]\nworkers = 2\n[pacing.rate_per_second_by_region]\nDE = 5\n", 2, "one process"),
        ('[cluster]\nengine = "ray"\n[pacing.rate_per_second_by_region]\nDE = 5\n', 2, "together"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_paid(  # noqa: PLR0917
    sandbox: Callable[..., SandboxThread],
    tmp_path: Path,
    key_file: Path,
    settings: str,
    code: int,
    said: str,
) -> None:
    too_open = tmp_path / "open.key"
    too_open.write_text(f"{DE_KEY}\n")
    too_open.chmod(0o644)
    server = sandbox()
    text = settings.format(key=key_file, open=too_open)
    done = Desk(tmp_path, server.url, CELLS, toml=text).run()
    assert done.code == code, done.err
    assert said in done.error
    assert DE_KEY not in done.err
    assert server.statistics()["requests"] == 0


def test_the_sandbox_needs_no_keys_of_regions(tmp_path: Path, key_file: Path) -> None:
    key_file.unlink()
    desk = Desk(tmp_path, "http://127.0.0.1:9/nobody", CELLS, toml=toml(tmp_path))
    done = desk.run("--sandbox")
    assert done.code == 0, done.err
    assert "60 requests" in done.out


def test_doctor_looks_at_every_key(
    sandbox: Callable[..., SandboxThread], tmp_path: Path, key_file: Path
) -> None:
    server = sandbox()
    desk = Desk(tmp_path, server.url, CELLS, toml=toml(tmp_path, FR=str(tmp_path / "fr.key")))
    said = run_command(*desk.arguments(command="doctor")).out
    assert "key of DE: found in the key file" in said
    assert "key of FR: cannot read the API key from" in said
