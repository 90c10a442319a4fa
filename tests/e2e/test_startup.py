"""Help, version and completion come at once, because nothing heavy is loaded for them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from .conftest import clean, run_command

HEAVY = ("polars", "aiohttp", "pyarrow", "pydantic", "phonenumbers")
INSPECTED = """
import json, sys
from batch_screen.cli.main import main
sys.argv = ["batch-screen", *sys.argv[1:]]
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""
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
        (["--version"], {}, "batch-screen, version "),
        ([], {"_BATCH_SCREEN_COMPLETE": "bash_source"}, "_batch_screen_completion"),
        ([], COMPLETING, "--strictness"),
    ],
    ids=[
        "help",
        "run",
        "plan",
        "check",
        "sandbox",
        "report",
        "validate",
        "version",
        "completion",
        "completing",
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


def test_installed_command_helps() -> None:
    done = run_command("--help")
    assert done.code == 0
    assert {"run", "plan", "check", "report", "sandbox", "validate"} <= {
        line.split()[0] for line in done.out.splitlines()[-6:]
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
