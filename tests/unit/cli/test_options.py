from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from batch_screen.cli import options
from batch_screen.cli.main import run
from batch_screen.cli.options import _SETTINGS, job_of, settings_of
from batch_screen.config.settings import Settings
from batch_screen.errors import AuthenticationError, BatchScreenError, ConfigurationError
from batch_screen.job import Job
from batch_screen.model import Endpoint

KEY = "s3cret-api-key"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("BATCH_SCREEN") or name == "CREDENTIALS_DIRECTORY":
            monkeypatch.delenv(name)


def test_the_help_names_every_endpoint() -> None:
    assert ", ".join(Endpoint) == options.ENDPOINTS


def job(*arguments: str, needs_key: bool = False, **environment: str) -> Job:
    """The job that the arguments describe."""
    jobs = []

    @click.command()
    @options.job
    def command(**given: Any) -> None:
        jobs.append(job_of(given, settings_of(given), needs_key=needs_key))

    result = CliRunner(env=environment).invoke(command, ["list.csv", *arguments])
    if isinstance(result.exception, BatchScreenError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return jobs[0]


def test_without_options_everything_is_the_default() -> None:
    assert job() == Job(inputs=("list.csv",))


@pytest.mark.parametrize(
    ("arguments", "section", "name", "value"),
    [
        ("--out o", "output", "folder", "o"),
        ("--state-dir s", "output", "state_folder", "s"),
        ("--trust-folders", "output", "trust_folders", True),
        ("--state s3://b/p", "output", "state_bucket", "s3://b/p"),
        ("--base-url https://x.example/", "api", "base_url", "https://x.example"),
        ("--dialect 2026-04", "api", "dialect", "2026-04"),
        ("--api-key-file k", "api", "key_file", "k"),
        ("--endpoints all", "screening", "endpoints", tuple(Endpoint)),
        (
            "--endpoints device-swap/check --endpoints sim-swap/check",
            "screening",
            "endpoints",
            (Endpoint.SIM_SWAP_CHECK, Endpoint.DEVICE_SWAP_CHECK),
        ),
        (
            "--endpoints device-swap/check,sim-swap/check",
            "screening",
            "endpoints",
            (Endpoint.SIM_SWAP_CHECK, Endpoint.DEVICE_SWAP_CHECK),
        ),
        ("--max-age-minutes 240", "screening", "max_age_minutes", 240),
        ("--phone-column p", "input", "phone_column", "p"),
        ("--region-column r", "input", "region_column", "r"),
        ("--default-region de", "input", "default_region", "DE"),
        ("--keep-columns a,b --keep-columns c", "input", "keep_columns", ("a", "b", "c")),
        ("--delimiter tab", "input", "delimiter", "\t"),
        ("--skip-lines 3", "input", "skip_lines", 3),
        ("--sheet 2", "input", "sheet", "2"),
        ("--encoding cp1252", "input", "encoding", "cp1252"),
        ("--no-header", "input", "has_header", False),
        ("--strictness mobile", "numbers", "strictness", "mobile"),
        ("--allow-regions de,UK", "numbers", "allowed_regions", ("DE", "GB")),
        ("--deny-regions FR --deny-regions 001", "numbers", "denied_regions", ("001", "FR")),
        ("--opt-out no.txt", "numbers", "opt_out_file", "no.txt"),
        ("--rate 2.5", "pacing", "rate_per_second", 2.5),
        ("--max-requests 7", "budget", "max_requests", 7),
        ("--max-cost 7.5", "budget", "max_cost", 7.5),
        ("--max-duration 6h30m", "budget", "max_duration_seconds", 23_400),
        ("--max-duration 45", "budget", "max_duration_seconds", 45),
        ("--stop-at 06:00", "schedule", "stop_at", "06:00"),
        ("--timezone Europe/Berlin", "schedule", "timezone", "Europe/Berlin"),
    ],
)
def test_an_option_sets_its_setting(arguments: str, section: str, name: str, value: Any) -> None:
    found = job(*arguments.split()).settings
    assert getattr(getattr(found, section), name) == value
    assert found == Settings(**{section: {name: value}})


def test_every_option_goes_somewhere() -> None:
    @click.command()
    @options.job
    def command(**given: Any) -> None: ...

    of_this_start = {"inputs", "config", "run_date", "new_run", "sandbox", "limit", "no_header"}
    of_run = {"fail_if", "log_format", "metrics_file", "summary_file"}
    assert {option.name for option in command.params} == {*_SETTINGS, *of_this_start} - of_run
    assert {option.name for option in run.params} == {*_SETTINGS, *of_this_start, "as_json"}
    for section, name in _SETTINGS.values():
        assert hasattr(getattr(Settings(), section), name)


def test_what_belongs_to_this_start_only() -> None:
    found = job("more.csv", "-", "--run-date", "2026-03-01", "--new-run", "--sandbox")
    assert found == Job(
        inputs=("list.csv", "more.csv", "-"),
        run_date=date(2026, 3, 1),
        new_run=True,
        sandbox=True,
    )


def test_flags_over_environment_over_file(tmp_path: Path) -> None:
    config = tmp_path / "screen.toml"
    config.write_text("[pacing]\nrate_per_second = 3\nheadroom = 0.5\n[input]\nhas_header = true")
    variable = {"BATCH_SCREEN_PACING__RATE_PER_SECOND": "2"}
    assert job("--config", str(config)).settings.pacing.rate_per_second == 3
    assert job("--config", str(config), **variable).settings.pacing.rate_per_second == 2
    found = job("--config", str(config), "--rate", "1", "--no-header", **variable).settings
    assert (found.pacing.rate_per_second, found.pacing.headroom) == (1, 0.5)
    assert not found.input.has_header
    named = {"BATCH_SCREEN_CONFIG": str(config)}
    assert job(**named).settings.pacing.headroom == 0.5


def test_mistakes_name_the_command_line() -> None:
    with pytest.raises(ConfigurationError, match=r"command line: pacing\.rate_per_second"):
        job("--rate", "0")


@pytest.mark.parametrize(
    ("option", "value", "setting", "why"),
    [
        ("--max-requests", "many", "budget.max_requests", "must be a whole number"),
        ("--max-requests", "1.5", "budget.max_requests", "must be a whole number"),
        ("--rate", "fast", "pacing.rate_per_second", "must be a number"),
        ("--max-age-minutes", "1.5", "screening.max_age_minutes", "must be a whole number"),
        ("--max-cost", "5 EUR", "budget.max_cost", "must be a number"),
        ("--max-requests", "-1", "budget.max_requests", "must be at least 0"),
        ("--max-cost", "-1", "budget.max_cost", "must be at least 0"),
        ("--max-cost", "nan", "budget.max_cost", "finite"),
        ("--max-cost", "inf", "budget.max_cost", "finite"),
        ("--default-region", "Germany", "input.default_region", "two-letter code such as DE"),
        ("--default-region", "49", "input.default_region", "two-letter code such as DE"),
        ("--max-duration", "soon", "budget.max_duration_seconds", "such as 6h30m"),
        ("--max-duration", "", "budget.max_duration_seconds", "such as 6h30m"),
        ("--max-duration", "30m6h", "budget.max_duration_seconds", "such as 6h30m"),
        ("--stop-at", "6:00", "schedule.stop_at", "00:00 to 23:59"),
        ("--stop-at", "24:00", "schedule.stop_at", "00:00 to 23:59"),
        ("--timezone", "Berlin", "schedule.timezone", "no time zone 'Berlin'"),
        ("--timezone", "", "schedule.timezone", "no time zone ''"),
    ],
)
def test_bounds_that_cannot_be_meant(option: str, value: str, setting: str, why: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        job(option, value)
    assert str(error.value).startswith(f"command line: {setting}: ")
    assert why in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "needs_key", "wanted"),
    [((), True, KEY), ((), False, None), (("--sandbox",), True, None)],
)
def test_the_key_is_read_where_it_is_needed(
    arguments: tuple[str, ...], needs_key: bool, wanted: str | None
) -> None:
    key = job(*arguments, needs_key=needs_key, BATCH_SCREEN_API_KEY=KEY).key
    assert (key.get_secret_value() if key else None) == wanted
    assert KEY not in repr(key)


def test_without_a_key() -> None:
    with pytest.raises(AuthenticationError, match="no API key"):
        job(needs_key=True)
    assert job("--sandbox", needs_key=True).key is None


def test_the_key_file_of_a_file_of_settings(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    config = tmp_path / "screen.toml"
    config.write_text(f"[api]\nkey_file = '{tmp_path / 'key'}'")
    found = job("--config", str(config), needs_key=True, BATCH_SCREEN_API_KEY="another")
    assert found.key is not None
    assert found.key.get_secret_value() == KEY


def test_there_is_no_option_for_the_key_itself() -> None:
    @click.command()
    @options.job
    def command(**given: Any) -> None: ...

    result = CliRunner().invoke(command, ["list.csv", "--api-key", KEY])
    assert result.exit_code == 2


@pytest.mark.parametrize("day", ["1999-12-31", "2101-01-01", "0001-01-01"])
def test_dates_that_cannot_be_meant(day: str) -> None:
    @click.command()
    @options.job
    def command(**given: Any) -> None: ...

    result = CliRunner().invoke(command, ["list.csv", "--run-date", day])
    assert result.exit_code == 2
    assert "must lie in the years 2000 to 2100" in result.output


@pytest.mark.parametrize("day", ["", "yesterday", "2026-13-01", "02.03.2026"])
def test_a_run_date_that_is_no_date(day: str) -> None:
    @click.command()
    @options.job
    def command(**given: Any) -> None: ...

    result = CliRunner().invoke(command, ["list.csv", "--run-date", day])
    assert result.exit_code == 2
    assert "'--run-date': must be a date such as 2026-03-02" in result.output


@pytest.mark.parametrize("option", ["--allow-regions", "--deny-regions", "--opt-out"])
@pytest.mark.parametrize("value", ["", " ", ","])
def test_an_unset_variable_lifts_no_restriction(option: str, value: str) -> None:
    @click.command()
    @options.job
    def command(**given: Any) -> None: ...

    result = CliRunner().invoke(command, ["list.csv", option, value])
    assert result.exit_code == 2
    assert f"'{option}': must not be empty" in result.output


def test_a_command_may_take_the_options_of_lists_alone(tmp_path: Path) -> None:
    jobs = []

    @click.command()
    @options.lists
    def command(**given: Any) -> None:
        jobs.append(job_of(given, settings_of(given)))

    config = tmp_path / "settings.toml"
    config.write_text('[output]\nfolder = "out"\n[input]\ndelimiter = ";"\n')
    typed = ["list.csv", "--config", str(config), "--strictness", "mobile", "--no-header"]
    result = CliRunner().invoke(command, typed)
    assert result.exit_code == 0, result.output
    [found] = jobs
    assert found == job(*typed[1:])
    assert (found.settings.output.folder, found.settings.input.delimiter) == ("out", ";")
    assert CliRunner().invoke(command, ["list.csv", "--rate", "5"]).exit_code == 2
    names = {option.name for option in command.params}
    assert names < {option.name for option in click.command()(options.job(lambda: None)).params}
