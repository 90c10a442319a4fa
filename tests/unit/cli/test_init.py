from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from batch_screen.cli.main import DEFAULT_NAME, cli
from batch_screen.config.load import load_settings
from batch_screen.errors import ConfigurationError, OutputError


def test_options_choose(tmp_path: Path) -> None:
    file = tmp_path / "a" / "my.toml"
    typed = [
        "--yes",
        "--endpoints",
        "all",
        "--no-header",
        "--allow-regions",
        "uk,DE",
        "--rate",
        "5",
    ]
    done = CliRunner().invoke(cli, ["init", str(file), *typed])
    assert done.exit_code == 0, done.output
    found = load_settings(config=file)
    assert (len(found.screening.endpoints), found.input.has_header) == (5, False)
    assert (found.numbers.allowed_regions, found.pacing.rate_per_second) == (("DE", "GB"), 5)
    assert f"next: batch-screen doctor --config {file}" in done.output
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_file_has_the_name_that_documents_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["init", "--yes"])
    assert done.exit_code == 0, done.output
    assert [path.name for path in tmp_path.iterdir()] == [DEFAULT_NAME]
    assert f"({DEFAULT_NAME})" in CliRunner().invoke(cli, ["init", "--help"]).output


def test_a_file_that_is_there(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text("mine")
    refused = CliRunner().invoke(cli, ["init", str(file), "--yes"])
    assert isinstance(refused.exception, OutputError)
    assert file.read_text() == "mine"
    done = CliRunner().invoke(cli, ["init", str(file), "--yes", "--force", "--json"])
    assert json.loads(done.output) == {"file": str(file), "set": []}
    assert load_settings(config=file) == load_settings()


@pytest.mark.parametrize("typed", [["--rate", "0"], ["--endpoints", "sim"]])
def test_what_cannot_be_meant_writes_nothing(tmp_path: Path, typed: list[str]) -> None:
    file = tmp_path / "my.toml"
    done = CliRunner().invoke(cli, ["init", str(file), "--yes", *typed])
    assert isinstance(done.exception, ConfigurationError)
    assert not file.exists()


def test_it_takes_only_what_is_a_setting(tmp_path: Path) -> None:
    for option in ("--sandbox", "--new-run"):
        done = CliRunner().invoke(cli, ["init", str(tmp_path / "x"), "--yes", option])
        assert done.exit_code == 2
    assert CliRunner().invoke(cli, ["init", str(tmp_path / "x")]).exit_code == 2  # no terminal


def test_a_key_file_that_is_not_there_yet(tmp_path: Path) -> None:
    file, key = tmp_path / "my.toml", tmp_path / "key"
    done = CliRunner().invoke(cli, ["init", str(file), "--yes", "--api-key-file", str(key)])
    assert "there is no file yet of the name that api.key_file has" in done.stderr
