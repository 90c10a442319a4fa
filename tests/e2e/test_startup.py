"""Help, version and completion come at once, because nothing heavy is loaded for them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from batch_screen.sandbox.run import SandboxThread
from tests.thoroughness import in_full

from .conftest import NUMBERS, Desk, clean, run_command

HEAVY = ("polars", "aiohttp", "pyarrow", "pydantic", "phonenumbers", "msgspec")
INSPECTED = """
import json, sys
from batch_screen.cli.main import main
sys.argv = ["batch-screen", *sys.argv[1:]]
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""
REGIONS = "batch-screen run --deny-regions A"
COMPLETING = {
    "_BATCH_SCREEN_COMPLETE": "bash_complete",
    "COMP_WORDS": "batch-screen run --str",
    "COMP_CWORD": "2",
}


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["--help"], {}, "Screen lists of phone numbers"),
        (["run", "--help"], {}, "--phone-column"),
        (["plan", "-h"], {}, "--json"),
        (["check", "--help"], {}, "--rejects"),
        (["sandbox", "--help"], {}, "--profile"),
        (["report", "--help"], {}, "--write"),
        (["validate", "--help"], {}, "--all"),
        (["status", "--help"], {}, "--state-dir"),
        (["doctor", "--help"], {}, "--canary"),
        (["purge", "--help"], {}, "--older-than"),
        (["init", "--help"], {}, "--force"),
        (["config", "--help"], {}, "--json"),
        (["completion", "zsh"], {}, "compdef"),
        (["--version"], {}, "batch-screen, version "),
        ([], {"_BATCH_SCREEN_COMPLETE": "bash_source"}, "_batch_screen_completion"),
        ([], COMPLETING, "--strictness"),
        ([], {**COMPLETING, "COMP_WORDS": REGIONS, "COMP_CWORD": "3"}, "AT"),
    ],
    ids=[
        "help",
        "run",
        "plan",
        "check",
        "sandbox",
        "report",
        "validate",
        "status",
        "doctor",
        "purge",
        "init",
        "config",
        "completion-script",
        "version",
        "completion",
        "completing",
        "completing-regions",
    ],
)
def test_nothing_heavy_is_loaded(
    arguments: list[str], environment: dict[str, str], words: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INSPECTED, *arguments],
        capture_output=True,
        text=True,
        env={**clean(), **environment},
        timeout=30,
        check=True,
    )
    assert words in done.stdout
    loaded = {name.partition(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}
    assert loaded.isdisjoint(HEAVY)


def test_nothing_of_several_workers_is_loaded_for_one(
    sandbox: Callable[..., SandboxThread], tmp_path: Path
) -> None:
    desk = Desk(tmp_path, sandbox().url, NUMBERS[:5])
    done = subprocess.run(
        [sys.executable, "-c", INSPECTED, *map(str, desk.arguments())],
        capture_output=True,
        text=True,
        env=clean(),
        timeout=30,
        check=True,
    )
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    assert "polars" in loaded
    assert loaded.isdisjoint({"batch_screen.cluster", "ray", "obstore"})


@pytest.mark.parametrize(
    "command",
    ["run", "purge", *(pytest.param(n, marks=in_full) for n in ("plan", "check", "status"))],
)
def test_a_wrong_setting_is_refused_before_polars_is_loaded(command: str) -> None:
    more = {"purge": ["--older-than", "9d"], "status": []}.get(command, ["list.csv"])
    done = subprocess.run(
        [sys.executable, "-c", INSPECTED, command, *more],
        capture_output=True,
        text=True,
        env={**clean(), "BATCH_SCREEN_OUTPUT__MEMORY_MIB": "1"},
        timeout=30,
        check=False,
    )
    said, loaded = done.stderr.splitlines()
    assert done.returncode == 2
    assert "OUTPUT__MEMORY_MIB: output.memory_mib: " in said
    assert {name.partition(".")[0] for name in json.loads(loaded)}.isdisjoint(
        {"polars", "aiohttp", "pyarrow", "phonenumbers"}
    )


def test_installed_command_helps() -> None:
    done = run_command("--help")
    assert done.code == 0
    listed = done.out.split("Commands:\n")[1].splitlines()
    assert {"run", "plan", "check", "sandbox", "validate", "diff"} <= {
        line.split()[0] for line in listed
    }
    assert done.err == ""


INTERRUPTED = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "batch_screen.cli.main":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from batch_screen.__main__ import main
main()
"""


def test_an_interrupt_while_it_loads_ends_it_without_a_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        capture_output=True,
        env=clean(),
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")
