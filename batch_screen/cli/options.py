"""The options that commands share, and the job they describe."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from batch_screen.cli import completion
from batch_screen.model import Endpoint

if TYPE_CHECKING:
    from batch_screen.config.settings import Settings
    from batch_screen.job import Job

Command = TypeVar("Command", bound=Callable[..., Any])

_FIRST_YEAR, _LAST_YEAR = 2000, 2100
_ENDPOINTS = ", ".join(endpoint.value for endpoint in Endpoint)

# Option name → where its value goes in the settings. The rest describes this start only.
_SETTINGS = {
    "out": ("output", "folder"),
    "in_order": ("output", "in_order"),
    "state_dir": ("output", "state_folder"),
    "base_url": ("api", "base_url"),
    "dialect": ("api", "dialect"),
    "api_key_file": ("api", "key_file"),
    "endpoints": ("screening", "endpoints"),
    "max_age_minutes": ("screening", "max_age_minutes"),
    "max_age": ("screening", "max_age"),
    "phone_column": ("input", "phone_column"),
    "region_column": ("input", "region_column"),
    "default_region": ("input", "default_region"),
    "keep_columns": ("input", "keep_columns"),
    "delimiter": ("input", "delimiter"),
    "encoding": ("input", "encoding"),
    "strictness": ("numbers", "strictness"),
    "allow_regions": ("numbers", "allowed_regions"),
    "deny_regions": ("numbers", "denied_regions"),
    "opt_out": ("numbers", "opt_out_file"),
    "rate": ("pacing", "rate_per_second"),
    "max_requests": ("budget", "max_requests"),
    "max_cost": ("budget", "max_cost"),
    "max_duration": ("budget", "max_duration_seconds"),
    "stop_at": ("schedule", "stop_at"),
    "timezone": ("schedule", "timezone"),
    "fail_if": ("guards", "fail_if"),
    "log_format": ("logging", "format"),
    "metrics_file": ("metrics", "file"),
    "summary_file": ("output", "summary_file"),
}


def _plausible(
    _context: click.Context, _option: click.Parameter, day: datetime | None
) -> datetime | None:
    if day is not None and not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise click.BadParameter(f"must lie in the years {_FIRST_YEAR} to {_LAST_YEAR}")
    return day


def _not_blank(
    _context: click.Context, _option: click.Parameter, value: str | tuple[str, ...] | None
) -> str | tuple[str, ...] | None:
    """The value; an unset variable of a shell must not lift a restriction without a word."""
    given = (value,) if isinstance(value, str) else value or ()
    if not all(text.strip(", ") for text in given):
        raise click.BadParameter("must not be empty; leave it out if that is meant")
    return value


_INPUTS = click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
_READING = (
    click.option(
        "--config",
        metavar="FILE",
        envvar="BATCH_SCREEN_CONFIG",
        type=click.Path(path_type=Path),
        help="TOML file with settings; config.toml in the repository explains them all.",
    ),
    click.option("--phone-column", metavar="NAME", help="Column of numbers; guessed if plain."),
    click.option("--region-column", metavar="NAME", help="Column of two-letter regions."),
    click.option(
        "--default-region",
        metavar="XX",
        shell_complete=completion.region,
        help="Region of numbers without a country.",
    ),
    click.option("--no-header", is_flag=True, help="CSV files have no header row."),
    click.option("--delimiter", metavar="CHAR", help="CSV: , ; | or tab.  [default: found out]"),
    click.option("--encoding", metavar="NAME", help="CSV text encoding.  [default: found out]"),
    click.option(
        "--strictness",
        type=click.Choice(["possible", "valid", "mobile"]),
        help="How sure a number must be before it is asked about.  [default: valid]",
    ),
    click.option(
        "--allow-regions",
        metavar="CODES",
        multiple=True,
        callback=_not_blank,
        shell_complete=completion.regions,
        help="Ask about numbers of these regions only: DE,AT; 001 is no country.  [default: all]",
    ),
    click.option(
        "--deny-regions",
        metavar="CODES",
        multiple=True,
        callback=_not_blank,
        shell_complete=completion.regions,
        help="Ask about no numbers of these regions.  [default: none]",
    ),
    click.option(
        "--opt-out",
        metavar="FILE",
        callback=_not_blank,
        help="List of numbers that are never asked about: one a line, CSV or Parquet.",
    ),
)
_ASKING = (
    click.option("--out", metavar="DIR", help="Folder for results; made if missing."),
    click.option(
        "--endpoints",
        metavar="NAMES",
        multiple=True,
        shell_complete=completion.endpoints,
        help=f"What to ask: {_ENDPOINTS}, or all; comma-separated or repeated. "
        "[default: sim-swap/check]",
    ),
    click.option(
        "--keep-columns",
        metavar="NAMES",
        multiple=True,
        help="Input columns to keep in results, as in_NAME; or all.  [default: none]",
    ),
    click.option(
        "--max-age-minutes",
        type=int,
        metavar="N",
        help="Window of the swap checks, 1 to 2400 minutes.  [default: 2400]",
    ),
    click.option(
        "--max-age",
        type=click.Choice(["since-last-run"]),
        help="Let windows reach back to each number's last observation.  [default: no]",
    ),
    click.option("--rate", type=float, metavar="N", help="Requests a second.  [default: 10]"),
    click.option(
        "--max-requests",
        metavar="N",
        help="Stop before the run, over all its starts, makes more.  [default: no bound]",
    ),
    click.option(
        "--max-cost",
        metavar="AMOUNT",
        help="Stop before the run, by the prices of [prices], costs more.  [default: no bound]",
    ),
    click.option(
        "--max-duration",
        metavar="TIME",
        help="Stop when this start has taken so long: 6h30m, 90m, 45s.  [default: no bound]",
    ),
    click.option(
        "--stop-at", metavar="HH:MM", help="Stop by this time of day.  [default: no bound]"
    ),
    click.option(
        "--timezone",
        metavar="NAME",
        help="Zone of --stop-at and of rates by hour, as Europe/Berlin.  [default: UTC]",
    ),
    click.option("--base-url", metavar="URL", help="Address of the API."),
    click.option(
        "--dialect",
        type=click.Choice(["v1.0.0", "2026-04"]),
        help="Which of the vendor's paths.  [default: v1.0.0]",
    ),
    click.option("--api-key-file", metavar="FILE", help="File that holds the API key."),
    click.option(
        "--run-date",
        type=click.DateTime(["%Y-%m-%d"]),
        metavar="DATE",
        callback=_plausible,
        help="Logical date of the run.  [default: today in UTC]",
    ),
    click.option(
        "--in-order",
        is_flag=True,
        default=None,
        help="Write the results once more, in the order of the input.",
    ),
    click.option("--new-run", is_flag=True, help="Ask and pay again, whatever is saved."),
    click.option("--state-dir", metavar="DIR", help="Folder for state.  [default: OUT/.state]"),
    click.option("--sandbox", is_flag=True, help="Ask a local stand-in: no account, no cost."),
)
_JOB = (_INPUTS, *_READING, *_ASKING)


def job_options(command: Command) -> Command:
    """The command with all that describes a job; it gets the options as keyword arguments."""
    return _with(_JOB, command)


def list_options(command: Command) -> Command:
    """The command with what describes the lists of numbers and how they are read."""
    return _with((_INPUTS, *_READING), command)


def setting_options(command: Command) -> Command:
    """The command with all that describes a job but for the lists."""
    return _with((*_READING, *_ASKING), command)


def folder_options(command: Command) -> Command:
    """The command with what says which folders a run has written to."""
    names = ("config", "out", "state_dir")
    return _only(names, command)


def choosing_options(command: Command) -> Command:
    """The command with the options that are settings; the others describe a single start."""
    return _only((*_SETTINGS, "no_header"), command)


def _only(names: Iterable[str], command: Command) -> Command:
    wanted = {*names}
    described: Any = command  # click keeps what it will become in this list
    own = [*getattr(described, "__click_params__", ())]
    setting_options(command)
    shared = described.__click_params__[len(own) :]
    described.__click_params__ = [*own, *(o for o in shared if o.name in wanted)]
    return command


def flag_names() -> dict[str, str]:
    """A setting's dotted name → the option that sets it."""
    return {
        f"{section}.{name}": f"--{option.replace('_', '-')}"
        for option, (section, name) in _SETTINGS.items()
    }


def _with(options: Iterable[Callable[[Command], Command]], command: Command) -> Command:
    for option in reversed([*options]):
        command = option(command)
    return command


def settings_of(options: dict[str, Any]) -> Settings:
    """The settings that the options, the environment and the configuration file describe.

    Options that a command does not have are as if they were not given.
    """
    from batch_screen.config.load import load_settings  # noqa: PLC0415 (heavy)

    return load_settings(flags_of(options), config=options["config"], environment=os.environ)


def job_of(options: dict[str, Any], *, needs_key: bool, settings: Settings | None = None) -> Job:
    """The job that the options describe, with these settings or those of ``settings_of``."""
    from batch_screen.config.key import read_key  # noqa: PLC0415 (heavy)

    settings = settings or settings_of(options)
    run_date: datetime | None = options.get("run_date")
    is_sandbox = options.get("sandbox", False)
    key = read_key(settings.api.key_file, os.environ) if needs_key and not is_sandbox else None

    from batch_screen.job import Job  # noqa: PLC0415 (the heaviest: a wrong setting is told first)

    return Job(
        inputs=options.get("inputs", ()),
        settings=settings,
        key=key,
        run_date=run_date.date() if run_date else None,
        new_run=options.get("new_run", False),
        sandbox=is_sandbox,
    )


def flags_of(options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The settings among the options, by section: those that were given."""
    flags: dict[str, dict[str, Any]] = {}
    for name, (section, setting) in _SETTINGS.items():
        if options.get(name) not in (None, ()):
            flags.setdefault(section, {})[setting] = options[name]
    if options.get("no_header"):
        flags.setdefault("input", {})["has_header"] = False
    return flags
