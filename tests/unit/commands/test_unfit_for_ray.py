"""``--engine ray`` refuses, before anything, what workers on other machines could not do."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

import batch_screen
from batch_screen.config.settings import Settings
from batch_screen.errors import ConfigurationError, ExitCode
from batch_screen.job import Job


def job(tmp_path: Path, *, sandbox: bool = False, **api: Any) -> Job:
    settings = Settings.model_validate(
        {"cluster": {"engine": "ray"}, "output": {"folder": str(tmp_path / "out")}, "api": api}
    )
    key = None if sandbox else SecretStr("some-key")
    return Job((str(tmp_path / "none.csv"),), settings, key=key, sandbox=sandbox)


def refusal(given: Job) -> str:
    with pytest.raises(ConfigurationError) as refused:
        batch_screen.run(given)
    assert refused.value.exit_code == ExitCode.USAGE
    assert not given.out.exists()
    return str(refused.value)


def test_the_sandbox_serves_one_machine(tmp_path: Path) -> None:
    assert "--sandbox serves this machine alone" in refusal(job(tmp_path, sandbox=True))


def test_the_password_of_a_proxy_stays_here(tmp_path: Path) -> None:
    said = refusal(job(tmp_path, proxy="https://me:secret@proxy.example:3128"))
    assert "set HTTPS_PROXY on each" in said
    assert "secret" not in said


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_it_says_what_to_install(tmp_path: Path) -> None:
    assert "pip install 'batch-screen[ray]'" in refusal(job(tmp_path))


def test_help_imports_neither_ray_nor_buckets_nor_the_cluster() -> None:
    code = (
        "import sys\n"
        "from batch_screen.cli.main import cli\n"
        "try:\n"
        "    cli(['run', '--help'])\n"
        "except SystemExit:\n"
        "    pass\n"
        "names = {name for name in sys.modules if name.partition('.')[0] in ('ray', 'obstore')}\n"
        "names |= {name for name in sys.modules if name.startswith('batch_screen.cluster')}\n"
        "print(names, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "set()"
