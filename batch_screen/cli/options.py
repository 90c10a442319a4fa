"""The options that commands share, and the job they describe."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from batch_screen.cli import completion, log
from batch_screen.cli.values import day_of, not_blank

if TYPE_CHECKING:  # settings and jobs take long to import, and no help needs them
    from batch_screen.config.settings import Settings
    from batch_screen.job import Job

Command = TypeVar("Command", bound=Callable[..., Any])

ENDPOINTS = (
    "sim-swap/check, sim-swap/retrieve-date, device-swap/check, device-swap/retrieve-date, "
    "call-forwarding/check"
)
"""Written out: the model would bring msgspec, which takes a tenth of the time of ``--help``."""

# Option name → where its value goes in the settings. The rest describes this start only.
_SETTINGS = {
    "out": ("output", "folder"),
    "in_order": ("output", "in_order"),
    "group_readable": ("output", "mode"),
    "trust_folders": ("output", "trust_folders"),
    "state_dir": ("output", "state_folder"),
    "state": ("output", "state_bucket"),
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
    "skip_lines": ("input", "skip_lines"),
    "sheet": ("input", "sheet"),
    "encoding": ("input", "encoding"),
    "strictness": ("numbers", "strictness"),
    "digits": ("numbers", "ambiguous"),
    "allow_regions": ("numbers", "allowed_regions"),
    "deny_regions": ("numbers", "denied_regions"),
    "opt_out": ("numbers", "opt_out_file"),
    "rate": ("pacing", "rate_per_second"),
    "workers": ("cluster", "workers"),
    "engine": ("cluster", "engine"),
    "ray_address": ("cluster", "ray_address"),
    "max_requests": ("budget", "max_requests"),
    "max_cost": ("budget", "max_cost"),
    "max_duration": ("budget", "max_duration_seconds"),
    "stop_at": ("schedule", "stop_at"),
    "timezone": ("schedule", "timezone"),
    "fail_if": ("guards", "fail_if"),
    "log_format": ("logging", "format"),
    "metrics_file": ("metrics", "file"),
    "summary_file": ("output", "summary_file"),
    "ids": ("privacy", "ids"),
    "id_key_file": ("privacy", "id_key_file"),
    "id_vault": ("privacy", "id_vault"),
}


_INPUTS = click.Argument(["inputs"], metavar="INPUT...", nargs=-1, required=True)
_READING = (
    click.Option(
        ["--config"],
        metavar="FILE",
        envvar="BATCH_SCREEN_CONFIG",
        type=click.Path(path_type=Path),
        help="TOML file with settings; config.toml in the repository explains them all.",
    ),
    click.Option(
        ["--phone-column"],
        metavar="NAME",
        multiple=True,
        help="Column of numbers, guessed if plain; several comma-separated or repeated.",
    ),
    click.Option(
        ["--region-column"], metavar="NAME", help="Column of countries: codes, names, or +49."
    ),
    click.Option(
        ["--default-region"],
        metavar="XX",
        shell_complete=completion.region,
        help="Region of numbers without a country.",
    ),
    click.Option(["--no-header"], is_flag=True, help="CSV files have no header row."),
    click.Option(["--delimiter"], metavar="CHAR", help="CSV: , ; | ^ or tab. [default: found out]"),
    click.Option(
        ["--skip-lines"],
        type=click.IntRange(0),
        metavar="N",
        help="Lines above the header that are no rows.  [default: found out]",
    ),
    click.Option(
        ["--sheet"],
        metavar="NAME",
        help="Workbooks: name or number of the sheet.  [default: the only one with rows]",
    ),
    click.Option(["--encoding"], metavar="NAME", help="CSV text encoding.  [default: found out]"),
    click.Option(
        ["--strictness"],
        type=click.Choice(["possible", "valid", "mobile"]),
        help="How sure a number must be before it is asked about.  [default: valid]",
    ),
    click.Option(
        ["--digits"],
        type=click.Choice(["by_list", "national", "international", "safe"]),
        help="How digits without + that could be two numbers are read.  [default: by_list]",
    ),
    click.Option(
        ["--allow-regions"],
        metavar="CODES",
        multiple=True,
        callback=not_blank,
        shell_complete=completion.regions,
        help="Ask about numbers of these regions only: DE,AT; 001 is no country.  [default: all]",
    ),
    click.Option(
        ["--deny-regions"],
        metavar="CODES",
        multiple=True,
        callback=not_blank,
        shell_complete=completion.regions,
        help="Ask about no numbers of these regions.  [default: none]",
    ),
    click.Option(
        ["--opt-out"],
        metavar="FILE",
        callback=not_blank,
        help="List of numbers that are never asked about: one a line, CSV or Parquet.",
    ),
)
_REQUESTS = (
    click.Option(["--out"], metavar="DIR", help="Folder for results; made if missing."),
    click.Option(
        ["--endpoints"],
        metavar="NAMES",
        multiple=True,
        shell_complete=completion.endpoints,
        help=f"What to ask: {ENDPOINTS}, or all; comma-separated or repeated. "
        "[default: sim-swap/check]",
    ),
    click.Option(
        ["--keep-columns"],
        metavar="NAMES",
        multiple=True,
        help="Input columns to keep in results, as in_NAME; or all.  [default: none]",
    ),
    click.Option(
        ["--max-age-minutes"],
        metavar="N",
        help="Window of the swap checks, 1 to 2400 minutes.  [default: 2400]",
    ),
    click.Option(
        ["--max-age"],
        type=click.Choice(["since-last-run"]),
        help="Let windows reach back to each number's last observation.  [default: no]",
    ),
    click.Option(["--rate"], metavar="N", help="Requests a second.  [default: 10]"),
    click.Option(
        ["--workers"],
        metavar="N",
        help="Ask with so many processes, for rates above what one can start.  [default: 1]",
    ),
    click.Option(
        ["--engine"],
        type=click.Choice(["processes", "ray"]),
        help="What keeps several workers alive: this machine, or a Ray cluster.  "
        "[default: processes]",
    ),
    click.Option(
        ["--ray-address"], metavar="ADDRESS", help="Address of the Ray cluster.  [default: auto]"
    ),
    click.Option(
        ["--max-requests"],
        metavar="N",
        help="Stop before the run, over all its starts, makes more.  [default: no bound]",
    ),
    click.Option(
        ["--max-cost"],
        metavar="AMOUNT",
        help="Stop before the run, by the prices of [prices], costs more.  [default: no bound]",
    ),
    click.Option(
        ["--max-duration"],
        metavar="TIME",
        help="Stop when this start has taken so long: 6h30m, 90m, 45s.  [default: no bound]",
    ),
    click.Option(
        ["--stop-at"], metavar="HH:MM", help="Stop by this time of day.  [default: no bound]"
    ),
    click.Option(
        ["--timezone"],
        metavar="NAME",
        help="Zone of --stop-at and of rates by hour, as Europe/Berlin.  [default: UTC]",
    ),
    click.Option(["--base-url"], metavar="URL", help="Address of the API."),
    click.Option(
        ["--dialect"],
        type=click.Choice(["v1.0.0", "2026-04"]),
        help="Which of the vendor's paths.  [default: v1.0.0]",
    ),
    click.Option(["--api-key-file"], metavar="FILE", help="File that holds the API key."),
    click.Option(
        ["--run-date"],
        metavar="DATE",
        callback=day_of,
        help="Logical date of the run.  [default: today in UTC]",
    ),
    click.Option(
        ["--in-order"],
        is_flag=True,
        default=None,
        help="Write the results once more, in the order of the input.",
    ),
    click.Option(
        ["--group-readable"],
        flag_value="group",
        default=None,
        help="Let the group of the output folder read what is written; others never may.",
    ),
    click.Option(
        ["--ids"],
        type=click.Choice(["plain", "hmac"]),
        help="What stands for a number in the output: itself, or a keyed id.  [default: plain]",
    ),
    click.Option(["--id-key-file"], metavar="FILE", help="File with the secret key of the ids."),
    click.Option(
        ["--id-vault"],
        metavar="DIR",
        help="Folder for what leads from the ids back to numbers.  [default: none]",
    ),
    click.Option(
        ["--trust-folders"],
        is_flag=True,
        default=None,
        help="Use folders of another user, or where others may write, as they are.",
    ),
    click.Option(["--new-run"], is_flag=True, help="Ask and pay again, whatever is saved."),
    click.Option(["--state-dir"], metavar="DIR", help="Folder for state.  [default: OUT/.state]"),
    click.Option(
        ["--state"],
        metavar="URL",
        help="Bucket that keeps the state, so that any machine goes on: s3://…, gs://…, az://…",
    ),
    click.Option(["--sandbox"], is_flag=True, help="Ask a local stand-in: no account, no cost."),
)


def _with(params: Iterable[click.Parameter]) -> Callable[[Command], Command]:
    def add(command: Command) -> Command:
        described: Any = command  # click keeps what it will become in this list, the last first
        own = getattr(described, "__click_params__", [])
        described.__click_params__ = [*own, *reversed([*params])]
        return command

    return add


def _named(*names: str) -> list[click.Parameter]:
    return [option for option in (*_READING, *_REQUESTS) if option.name in names]


_LIMIT = click.Option(
    ["--limit"],
    type=click.IntRange(1, 1_000_000),
    metavar="N",
    help="Take the first N accepted numbers only, to try things out: a run of its own.",
)
job = _with((_INPUTS, *_READING, *_REQUESTS, _LIMIT))
"""All that describes a job."""
lists = _with((_INPUTS, *_READING))
"""The lists of numbers, and how they are read."""
settings = _with((*_READING, *_REQUESTS))
"""All that describes a job but for the lists."""
folders = _with(_named("config", "out", "state_dir"))
"""Which folders a run has written to."""
places = _with(_named("config", "out", "state_dir", "state"))
"""Which folders, and the bucket that keeps the state."""
purging = _with(_named("config", "out", "trust_folders", "state_dir", "state"))
"""The same, and whether folders where others may write are used."""
erasing = _with(
    _named(
        "config",
        "out",
        "trust_folders",
        "state_dir",
        "default_region",
        "digits",
        "id_key_file",
        "id_vault",
    )
)
"""Which folders, and how numbers are read."""
retrying = _with(
    _named(
        "config",
        "out",
        "state_dir",
        "state",
        "opt_out",
        "rate",
        "workers",
        "engine",
        "ray_address",
        "max_requests",
        "max_cost",
        "max_duration",
        "stop_at",
        "timezone",
        "base_url",
        "dialect",
        "api_key_file",
        "in_order",
        "group_readable",
        "ids",
        "id_key_file",
        "id_vault",
        "trust_folders",
    )
)
"""What may differ from a run when its failed lookups are asked again."""
identifying = _with(_named("config", "default_region", "strictness", "digits", "id_key_file"))
"""How numbers are read, and their ids made."""
choices = _with(_named(*_SETTINGS, "no_header"))
"""The options that are settings; the others describe a single start."""


endings = _with(
    (
        click.Option(
            ["--fail-if"],
            metavar="EXPR",
            multiple=True,
            help="Exit with 3 if a figure of the complete run crosses this: 'failure_rate > 1%', "
            "'rows_change < -20%'; repeatable.",
        ),
        click.Option(
            ["--log-format"],
            type=click.Choice(log.FORMATS),
            help="What stderr gets; auto: text on a terminal, else JSON lines.  [default: auto]",
        ),
        click.Option(
            ["--metrics-file"],
            metavar="FILE",
            help="Write figures for Prometheus to this file.",
        ),
        click.Option(
            ["--summary-file"],
            metavar="FILE",
            help="Write to this JSON file how the start ended, always.",
        ),
    )
)
"""How a start that asks reports its end."""


warehouse = _with(
    (
        click.Option(
            ["--to"],
            metavar="TARGET",
            required=True,
            help="The warehouse: postgresql://…, duckdb:…, delta:… or iceberg:…",
        ),
        click.Option(
            ["--schema"],
            metavar="NAME",
            default="batch_screen",
            show_default=True,
            callback=not_blank,
            help="Schema of the tables.",
        ),
    )
)
"""Which warehouse, and which tables of it."""


def as_json(help: str = "Print JSON.") -> Callable[[Command], Command]:  # noqa: A002 (click's word)
    return click.option("--json", "as_json", is_flag=True, help=help)


def flag_names() -> dict[str, str]:
    """A setting's dotted name → the option that sets it."""
    return {
        f"{section}.{name}": f"--{option.replace('_', '-')}"
        for option, (section, name) in _SETTINGS.items()
    }


def flags_of(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The given options that are settings, by section."""
    flags: dict[str, dict[str, Any]] = {}
    for name, (section, setting) in _SETTINGS.items():
        if given.get(name) not in (None, ()):
            flags.setdefault(section, {})[setting] = given[name]
    if given.get("no_header"):
        flags.setdefault("input", {})["has_header"] = False
    return flags


def settings_of(given: Mapping[str, Any]) -> Settings:
    """The settings from options, environment and configuration file.

    Options that a command does not have are as if they were not given.
    """
    # pydantic would look through every installed package for plugins, and we want none.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    from batch_screen.config.load import load_settings  # noqa: PLC0415 (no help needs it)

    return load_settings(flags_of(given), config=given["config"], environment=os.environ)


def job_of(given: Mapping[str, Any], settings: Settings, *, needs_key: bool = False) -> Job:
    """The job described by the options and these settings."""
    from batch_screen.config.key import read_key  # noqa: PLC0415 (no help needs it)
    from batch_screen.job import Job  # noqa: PLC0415 (nor this)

    is_sandbox = given.get("sandbox", False)
    return Job(
        inputs=given.get("inputs", ()),
        settings=settings,
        key=read_key(settings.api.key_file, os.environ) if needs_key and not is_sandbox else None,
        run_date=given.get("run_date"),
        new_run=given.get("new_run", False),
        sandbox=is_sandbox,
        limit=given.get("limit"),
        is_attended=sys.stdin.isatty(),
    )
