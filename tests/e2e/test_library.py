"""The same run from Python, in a few lines."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from batch_screen.sandbox.run import SandboxThread
from tests.thoroughness import in_full

from .conftest import DAY, KEY, NUMBERS, Output, assert_true, clean, write_csv

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
SNIPPET = """
import json, os, sys
from datetime import date
from pydantic import SecretStr
from batch_screen import Job, load_settings, plan, run

os.umask(0)
listed, out, url, day = sys.argv[1:]
settings = load_settings({
    "output": {"folder": out},
    "api": {"base_url": url},
    "screening": {"endpoints": ["sim-swap/check", "sim-swap/retrieve-date"]},
    "pacing": {"rate_per_second": 1000, "ramp_up_seconds": 0},
})
job = Job((listed,), settings, key=SecretStr(os.environ["KEY"]), run_date=date.fromisoformat(day))
expected = plan(job)
done = run(job)
again = run(job)
print(json.dumps({
    "to_ask": expected.to_ask,
    "lookups": done.summary.lookups,
    "failure_share": done.summary.failure_share,
    "results": [str(path) for path in done.layout.parts("results")],
    "was_complete": [done.was_complete, again.was_complete],
    "job": repr(job),
}))
"""


@in_full
def test_run_from_python(sandbox: Callable[..., SandboxThread], tmp_path: Path) -> None:
    server = sandbox()
    listed = write_csv(tmp_path / "list.csv", NUMBERS[:50])
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SNIPPET, listed, out, server.url, DAY],
        capture_output=True,
        text=True,
        env={**clean(), "KEY": KEY},
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told["to_ask"] == {"sim-swap/check": 50, "sim-swap/retrieve-date": 50}
    assert (told["lookups"], told["failure_share"]) == (100, 0)
    assert told["was_complete"] == [False, True]
    assert KEY not in told["job"]
    output = Output(out)
    assert told["results"] == [str(path) for path in output.parts("results")]
    assert_true(output.frame("lookups"), server.world)
    assert server.statistics()["requests"] == 100
    for path in (out, *out.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_the_page_on_python_works_from_top_to_end(tmp_path: Path) -> None:
    """Its list is the sample, a part of it."""
    (tmp_path / "sample_data").mkdir()
    sample = (PAGE.parents[1] / "sample_data" / "customers.csv").read_bytes().splitlines(True)
    (tmp_path / "sample_data" / "customers.csv").write_bytes(b"".join(sample[:101]))
    blocks = re.findall(
        r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(blocks)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=clean(),
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    checked, asked, ran, again, whole, verdict, flagged, *rest = done.stdout.splitlines()
    states, changes, *more, error = rest
    assert checked.endswith("rows can be asked about")
    assert asked.startswith("{'sim-swap/check': ")
    assert ran.endswith("lookups in screened")
    assert again == "nothing to retry"
    assert whole == "whole"
    assert verdict.startswith("Complete: ")
    assert flagged.startswith("{'SIM changed': ")
    assert "complete" in states
    assert "'sim-swap/check'" in changes
    assert more[0].startswith("['configuration', ")
    assert more[0].endswith("exit code 0")
    assert more[1] == "0 runs would go"
    assert error.startswith("66 ")
