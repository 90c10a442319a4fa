from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from batch_screen.cli.main import cli
from batch_screen.config.load import parse_settings
from batch_screen.config.settings import Settings

KEY = "s3cret-api-key"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("BATCH_SCREEN") or name == "CREDENTIALS_DIRECTORY":
            monkeypatch.delenv(name)


def test_the_defaults_and_no_key() -> None:
    done = CliRunner().invoke(cli, ["config"])
    assert done.exit_code == 0
    assert parse_settings(done.output, Path("x")) == Settings()
    assert done.output.startswith("# API key: none is found; name a file that holds it with")


def test_where_each_comes_from() -> None:
    environment = {"BATCH_SCREEN_API_KEY": KEY, "BATCH_SCREEN_PACING__HEADROOM": "0.5"}
    done = CliRunner(env=environment).invoke(cli, ["config", "--rate", "3", "--json"])
    assert KEY not in done.output
    told = json.loads(done.output)
    assert told["key"] == "read from the variable BATCH_SCREEN_API_KEY"
    by_name = {each["name"]: (each["value"], each["source"]) for each in told["settings"]}
    assert by_name["pacing.rate_per_second"] == (3.0, "flag")
    assert by_name["pacing.headroom"] == (0.5, "variable")
    assert by_name["api.dialect"] == ("v1.0.0", "default")
