"""The command ``batch-screen``: its subcommands and options, and how it handles errors.

A command is declared here by its options and its help. The function that carries it out, of the
same name in the module of the same name, is loaded when it is called: help and completion load
nothing heavy.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from batch_screen import __version__
from batch_screen.cli import log, options, values
from batch_screen.cli.console import lost_output, open_missing, print_stderr, settle
from batch_screen.cli.hooks import install_hooks, unforeseen
from batch_screen.errors import (
    BatchScreenError,
    ExitCode,
    exit_code_of,
    has_working_folder,
    no_working_folder,
)
from batch_screen.masking import mask_text, safe_text

DEFAULT_NAME = "batch-screen.toml"
"""The settings file's name in documents and recipes; config.toml is its template."""

_HELP = {"help_option_names": ["-h", "--help"]}
_PATH = click.Path(path_type=Path)
_OF_PATHS = (ExitCode.NO_INPUT, ExitCode.SYSTEM, ExitCode.CANNOT_WRITE)
_GETS_SETTINGS = (
    *("run", "check", "plan", "retry", "status", "export", "purge", "lookup_id", "erase"),
)


@click.group(context_settings={**_HELP, "max_content_width": 100})
@click.version_option(__version__, prog_name="batch-screen")
def cli() -> None:
    """Screen lists of phone numbers against a mobile network's fraud signals.

    \b
    Try it without an account:  batch-screen run customers.csv --sandbox --out screened
    What is in a list:          batch-screen check customers.csv
    What it would cost:         batch-screen plan customers.csv
    """  # noqa: D301 (click's mark for a paragraph that keeps its lines)


def _lazy(declared: Callable[[], None]) -> click.Command:
    """The command of this name; its module is imported when it is called."""
    name = declared.__name__

    @wraps(declared)
    def call(**given: Any) -> Any:
        mask_text(
            ""
        )  # makes the mask ready: where memory gives out, it is needed and cannot be made
        if name in _GETS_SETTINGS:  # first: a wrong one is refused before polars is loaded
            given["settings"] = options.settings_of(given)
        return getattr(import_module(f"batch_screen.cli.{name}"), name)(**given)

    return cli.command(context_settings=_HELP)(call)


@_lazy
@options.job
@options.endings
@options.as_json("Print JSON in place of the closing block.")
def run() -> None:
    """Screen the numbers in INPUT: files, folders, globs, - for stdin, s3://… or https://….

    A second start of the same command goes on where the first one stopped and asks nothing
    twice. The API key is read from --api-key-file, BATCH_SCREEN_API_KEY_FILE, a systemd
    credential, or BATCH_SCREEN_API_KEY.
    """


@_lazy
@click.argument("run", metavar="[RUN]", required=False)
@click.option(
    "--outcomes",
    metavar="NAMES",
    multiple=True,
    callback=values.outcomes,
    help="Which failures: timeout, server_error, …; comma-separated or repeated.  [default: "
    "those of errors with retry_can_help]",
)
@options.retrying
@options.endings
@options.as_json("Print JSON in place of the closing block.")
def retry() -> None:
    """Ask the lookups of a complete run that failed once more, in a run that supersedes it.

    RUN is a run's id in --out, a run's own folder, OUT/runs/RUN_ID, or an output folder; by default
    the latest run in --out. All other answers are carried over, each with its own time, so nothing
    is paid for twice; neither INPUT nor state of RUN need be there. A second start of the same
    command goes on where the first one stopped. Where nothing failed so, nothing is made.
    """


@_lazy
@options.lists
@click.option(
    "--rejects",
    metavar="FILE",
    type=_PATH,
    help="Write the rejected rows, masked, to this .csv, .xlsx or .parquet file.",
)
@options.as_json()
def check() -> None:
    """Show what INPUT holds, what is wrong with it, and what to fix first.

    Sends nothing, needs no key and changes no state. Rejected rows are no failure; the exit code
    is 65 where not one row is usable.
    """


@_lazy
@options.job
@options.as_json()
def plan() -> None:
    """Show what a run over INPUT would ask, cost and take. Sends nothing, needs no key."""


@_lazy
@options.places
@options.as_json()
def status() -> None:
    """Show the state of a folder's runs, and how to resume those that stopped.

    Only reads, takes no lock and needs no key: it may be asked at any time.
    """


@_lazy
@click.argument("folder", metavar="OUT")
@click.option(
    "--since-completed",
    "since",
    metavar="TIME",
    callback=values.instant,
    help="Only runs completed after this: 2026-11-23T04:00:00Z; without a zone it is UTC.",
)
@click.option(
    "--parquet",
    "path",
    metavar="FILE",
    type=_PATH,
    callback=values.parquet,
    help="Write them to this .parquet file as well.",
)
@click.option("--gone", is_flag=True, help="Instead the runs that purge has removed from there.")
@options.as_json()
def runs() -> None:
    """List the complete runs of a folder, in the order in which they were completed.

    Says which runs are new to a loader: those completed after the last one it has seen. A run is
    current if it is the last complete one of its date and inputs. Needs no state and no key. A run
    whose manifest is damaged is left out, and makes the exit code 65.
    """


@_lazy
@click.argument("folders", nargs=-1, required=True, metavar="FOLDER...")
@click.option("--run", "run_id", metavar="RUN_ID", help="The run, if not the latest.")
@click.option("--all", "every", is_flag=True, help="Every run of the output folder.")
@click.option(
    "--copied",
    "--ignore-modes",
    "copied",
    is_flag=True,
    help="Leave file modes unchecked: this is a copy, which has lost them.",
)
@options.as_json()
def validate() -> None:
    """Re-read a run's files and say what differs from what it wrote.

    FOLDER is an output folder, whose latest run is taken, or a run's own, OUT/runs/RUN_ID, or the
    address to which one was uploaded: s3://BUCKET/PREFIX, gs://… or az://….
    """


@_lazy
@click.argument("since", metavar="RUN")
@click.argument("run", metavar="RUN")
@click.option(
    "--out", metavar="DIR", type=_PATH, help="Output folder of runs that are named by their ids."
)
@click.option(
    "--write",
    metavar="FILE",
    type=_PATH,
    callback=values.parquet,
    help="Write all changes, with whole numbers, to this .parquet file.",
)
@options.as_json()
def diff() -> None:
    """Show what changed from the first RUN to the second.

    RUN is a run's id in --out, a run's own folder, OUT/runs/RUN_ID, or an output folder, whose
    latest run is taken. That much changed is no failure: the exit code is 0.
    """


@_lazy
@click.argument("run", metavar="RUN")
@click.option("--out", metavar="DIR", help="The output folder, if RUN is the id of a run in it.")
@click.option("--run", "run_id", metavar="RUN_ID", help="The run, if not the latest.")
@click.option(
    "--write", "path", metavar="FILE", help="Where to write it, if not into the run's own folder."
)
@options.as_json("Print JSON: the counts, and the file.")
def report() -> None:
    """Write one page of HTML about a run: what it found, what failed, how it went.

    RUN is an output folder, whose latest run is taken, or a run's own, OUT/runs/RUN_ID. Every
    complete run has its page already, runs/RUN_ID/report.html; of a run that was stopped this
    tells how far it came. The page needs no network and holds no whole number.
    """


@_lazy
@click.argument("run", metavar="[RUN]", required=False)
@options.folders
@click.option("--run", "run_id", metavar="RUN_ID", help="The run, if not the latest.")
@click.option("--flagged", is_flag=True, help="The customers that deserve a look, and why.")
@click.option("--rejected", is_flag=True, help="The rows to repair, with reason and remedy.")
@click.option("--unknown", is_flag=True, help="With --flagged: also those of whom nobody can say.")
@click.option(
    "--to",
    metavar="FILE",
    type=_PATH,
    required=True,
    help="Write them to this .csv, .xlsx or .parquet file; one that is there is replaced.",
)
@click.option("--masked", is_flag=True, help="Hide the digits of all numbers.")
@options.as_json("Print JSON: the counts, and the file.")
def export() -> None:
    """Write a sheet of the customers that deserve a look, or of the rows to repair.

    RUN is a run's id in --out, a run's own folder, OUT/runs/RUN_ID, or an output folder, whose
    latest complete run is taken; without it --out is. A customer deserves a look if a flag of the
    risk view is true: SIM or device changed lately, or all calls forwarded. The sheet says which
    and since when, and has the kept columns, in the order of the input. It holds whole numbers
    unless --masked.
    """


@_lazy
@click.argument("run", metavar="OUT")
@click.option("--run", "run_id", metavar="RUN_ID", help="The run, if not the latest.")
@click.option(
    "--to",
    metavar="ADDRESS",
    required=True,
    help="Where to: s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX.",
)
@options.as_json("Print JSON: the run, and what was sent.")
def upload() -> None:
    """Upload a complete run to a bucket: its files, then _SUCCESS, then latest.json.

    OUT is an output folder, whose latest run is taken, or a run's own, OUT/runs/RUN_ID. Each
    object is read back. A second start of the same command sends what is not there yet; state is
    never sent. Credentials are the cloud's own. The bucket holds whole numbers then.
    """


@_lazy
@options.purging
@click.option(
    "--older-than",
    metavar="DAYS",
    required=True,
    callback=values.days_ago,
    help="Runs whose run date lies more than so many days back: 90d.",
)
@click.option("--state-only", is_flag=True, help="Keep the outputs.")
@click.option("--outputs-only", is_flag=True, help="Keep the state.")
@click.option("--unfinished", is_flag=True, help="Also runs that could still be resumed.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.as_json()
def purge() -> None:
    """Remove state and outputs of runs older than so many days, after showing them.

    Removes only files that runs wrote, follows no links, and never while a run is going on. What
    is gone cannot be compared with, resumed or used again: the same list asked about for the same
    date would be a new run, and paid for.
    """


@_lazy
@options.erasing
@click.option(
    "--numbers",
    metavar="FILE",
    required=True,
    help="The people's numbers, read as an opt-out list is; - reads stdin.",
)
@click.option(
    "--to",
    metavar="TARGET",
    multiple=True,
    help="A warehouse that load has filled: erase there, too; repeatable.",
)
@click.option(
    "--schema",
    metavar="NAME",
    default="batch_screen",
    show_default=True,
    callback=values.not_blank,
    help="Schema of the tables there.",
)
@click.option("--dry-run", is_flag=True, help="Only say where they lie, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.as_json("Print JSON: the receipt.")
def erase() -> None:
    """Erase people from all runs of an output folder and its state, or say where they lie.

    Each run that holds one is written anew without, under new names of parts and with a new
    manifest, and is whole before and after; state that holds one is removed. Killed, the same
    command with the same numbers goes on. Warehouses come last, each in one transaction, lakes a
    table at a time. A state in a bucket is not searched. What is printed is a receipt: it names no
    number.
    """


@_lazy
@click.argument("folders", nargs=-1, required=True, metavar="OUT...")
@options.warehouse
@click.option(
    "--run",
    "run_ids",
    metavar="RUN_ID",
    multiple=True,
    help="These runs only; repeatable.  [default: all that are complete and new]",
)
@click.option(
    "--tables",
    metavar="NAMES",
    multiple=True,
    help="Which of results, lookups, errors and changes; comma-separated.  [default: all]",
)
@click.option(
    "--new-columns",
    type=click.Choice(["add", "refuse"]),
    default="add",
    show_default=True,
    help="What to do where a table lacks a column of the run.",
)
@click.option("--no-create", is_flag=True, help="Make no schema, table or view.")
@click.option(
    "--replace",
    is_flag=True,
    help="Delete and load anew, at once, a run that was written anew since it was loaded.",
)
@click.option("--sandbox", is_flag=True, help="Load runs of the sandbox too.")
@click.option("--dry-run", is_flag=True, help="Show what would be loaded and made, and do nothing.")
@options.as_json()
def load() -> None:
    """Load complete runs into a warehouse: each once, whole or not at all.

    OUT is an output folder, or a run's own, OUT/runs/RUN_ID. What the warehouse has already is left
    as it is, so the same command goes after every run, and again after it was killed.

    \b
    --to postgresql://user@host/database   password: ~/.pgpass, PGPASSFILE, PGSERVICEFILE
    --to duckdb:FILE
    --to delta:FOLDER                      or delta:s3://bucket/folder
    --to iceberg:CATALOG.NAMESPACE         the catalog as in pyiceberg's own configuration
    """  # noqa: D301 (click's mark for a paragraph that keeps its lines)


@_lazy
@options.warehouse
@click.option("--run", "run_ids", metavar="RUN_ID", multiple=True, help="These runs; repeatable.")
@click.option(
    "--older-than",
    metavar="DAYS",
    callback=values.days_ago,
    help="Runs whose run date lies more than so many days back: 90d.",
)
@click.option(
    "--gone",
    metavar="OUT",
    multiple=True,
    help="Runs that purge has removed from this output folder, by its record there; repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be deleted, and delete nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.as_json()
def unload() -> None:
    """Delete runs from a warehouse, after showing them: those named, old ones, or those purged.

    Their files stay: load brings a run back whose files are still there.
    """


@_lazy
@click.argument("file", type=_PATH)
@options.as_json()
def id_key() -> None:
    """Make a secret key for --ids hmac in the new FILE, readable by its owner alone.

    A FILE that is there is never written over. Keep a copy: without the key nobody can tell a
    number's id, and with another key every number has another one.
    """


@_lazy
@options.identifying
@options.as_json("Print JSON: line, number_id, reason.")
def lookup_id() -> None:
    """Print the id of each number on stdin, one a line, to find it in a folder of --ids hmac.

    Numbers are read as a list's are, by the same settings; a line that is no number has an empty
    line, and makes the exit code 65. Numbers never belong on a command line: others can read it.
    """


@_lazy
@click.argument("folder", metavar="[OUT]", required=False)
@click.option(
    "--server",
    metavar="TARGET",
    help="Of what load fills there: postgresql://… or duckdb:FILE.  [default: of the files]",
)
@click.option(
    "--schema",
    metavar="NAME",
    default="batch_screen",
    show_default=True,
    callback=values.not_blank,
    help="Schema of the tables there.",
)
@options.as_json("Print JSON in place of YAML.")
def contract() -> None:
    """Print a data contract of the tables: ODCS 3.1, for datacontract-cli and other tools.

    OUT is an output folder, or a run's own, OUT/runs/RUN_ID, whose kept columns are in it then. It
    has every column with its meaning, keys, values, who may see it, and rules to test. Connects to
    nothing, and has no number and no secret in it.
    """


@_lazy
@click.argument("folder", metavar="OUT")
@click.option(
    "--dialect",
    required=True,
    type=click.Choice(["snowflake", "bigquery", "redshift", "databricks", "postgres", "duckdb"]),
    help="Whose SQL.",
)
@click.option(
    "--stage",
    metavar="PLACE",
    help="Where the warehouse finds the files: s3://BUCKET/PREFIX as for upload, a stage @NAME of "
    "Snowflake, a folder for postgres and duckdb.  [default there: OUT]",
)
@click.option(
    "--access",
    metavar="NAME",
    help="What opens the bucket: Snowflake's storage integration, Redshift's IAM role.",
)
@click.option(
    "--schema",
    metavar="NAME",
    default="batch_screen",
    show_default=True,
    callback=values.not_blank,
    help="Schema (dataset) of the tables; in clouds DATABASE.SCHEMA as well.",
)
@click.option(
    "--run", "run_ids", metavar="RUN_ID", multiple=True, help="These runs only; repeatable."
)
@click.option("--ddl", is_flag=True, help="Print only what makes the tables and views.")
@click.option("--no-create", is_flag=True, help="Leave that out.")
@click.option("--sandbox", is_flag=True, help="Take runs of the sandbox too.")
@options.as_json("Print JSON: the scripts, with their runs.")
def sql() -> None:
    """Print a script for each complete run that loads it, the oldest completion first.

    For warehouses that load does not connect to, or where somebody reads the SQL first. OUT is an
    output folder, or a run's own, OUT/runs/RUN_ID. A script may be started again: what the tables
    have of the run is replaced, and its rows are counted before they are there.
    """


@_lazy
@click.argument("inputs", metavar="[INPUT]...", nargs=-1)
@options.settings
@click.option(
    "--canary",
    metavar="[NUMBER]",
    is_flag=False,
    flag_value="",
    default=None,
    help="Ask each endpoint once, which may be billed.  [NUMBER: the first of test_numbers]",
)
@options.as_json()
def doctor() -> None:
    """Check whether a run could start: settings, key, folders, disk, and the way to the server.

    Sends no number and no key, and leaves nothing changed: a bucket for the state is tried with an
    object that is removed again. Only --canary asks, and may cost. With INPUT the disk is held
    against what such a run needs. The exit code is that of the first failure.
    """


@_lazy
@click.argument("file", default=DEFAULT_NAME, type=_PATH)
@options.choices
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@click.option("--yes", is_flag=True, help="Ask nothing: what no option says keeps its default.")
@options.as_json()
def init() -> None:
    """Write FILE (batch-screen.toml): the settings you choose, and all others explained.

    Asks where a terminal is, for what no option says. The file is readable by its owner only; it
    never holds the key, only where the key is.
    """


@_lazy
@options.settings
@options.as_json()
def config() -> None:
    """Show all settings merged: flags over the environment over --config over defaults.

    What is printed can be saved as a file for --config. No key, password or phone number is in
    it: lines that would hold one are comments.
    """


@_lazy
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@options.as_json()
def completion() -> None:
    """Print a script that completes commands, options, endpoints and regions in SHELL.

    \b
    bash, in ~/.bashrc:  eval "$(batch-screen completion bash)"
    zsh, in ~/.zshrc:    eval "$(batch-screen completion zsh)"
    fish:                batch-screen completion fish > ~/.config/fish/completions/batch-screen.fish
    """  # noqa: D301 (click's mark for a paragraph that keeps its lines)


@_lazy
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8080,
    show_default=True,
    help="Port; 0: a free one.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, other answers.")
@click.option(
    "--now",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    help="Let its clock stand at this instant (UTC), for tests.  [default: it goes]",
)
@click.option("--dialect", type=click.Choice(["v1.0.0", "2026-04"]), default="v1.0.0")
@click.option("--profile", "profiles", multiple=True, help="Faults to inject; may be repeated.")
@click.option("--profiles", "list_profiles", is_flag=True, help="List the profiles and exit.")
@click.option("--latency", help="0.2, uniform:A:B or lognormal:MEDIAN:SIGMA, in seconds.")
@click.option("--rate-limit", type=int, help="Refuse what exceeds so many requests a second.")
@click.option(
    "--rate-limit-at",
    "limits",
    metavar="ENDPOINT=N",
    multiple=True,
    callback=values.limits,
    help="The same for one endpoint, besides; may be repeated.",
)
@click.option(
    "--rate-window",
    type=click.Choice(["sliding", "fixed", "bucket"]),
    default="sliding",
    show_default=True,
    help="How it counts: by any second, by seconds of the clock, or by a bucket of tokens.",
)
@click.option(
    "--not-entitled",
    metavar="ENDPOINT",
    multiple=True,
    help="Answer 403 at this endpoint, whatever the key; may be repeated.",
)
@click.option(
    "--strict-body", is_flag=True, help="Refuse unknown properties in a body, as newer APIs do."
)
@click.option("--quota", type=int, help="Refuse everything after so many requests.")
@click.option("--revoke-after", type=int, help="Refuse every key after so many requests.")
@click.option(
    "--journal", type=_PATH, callback=values.appendable, help="Append one JSON line per request."
)
@options.as_json("Print JSON, an object a line.")
def sandbox() -> None:
    """Serve a local stand-in for the API until Ctrl-C.

    It accepts the key "sandbox-key", answers the same for the same number, and tells what it
    was asked at /_sandbox/statistics.
    """


def main() -> None:
    """Runs the command; every failure becomes one masked line on stderr and an exit code."""
    os.umask(0o077)  # whatever is written holds personal data
    open_missing()
    install_hooks()
    try:
        sys.exit(_exit_code())
    finally:
        settle()


def _exit_code() -> int:
    log.choose_early(sys.argv[1:], os.environ)
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        _print_usage(error)
        return error.exit_code
    except BatchScreenError as error:
        return _failed(str(error), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        log.error("interrupted; start the same command again", ExitCode.INTERRUPTED)
        return ExitCode.INTERRUPTED
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 (no traceback ever; a panic of polars is no Exception)
        return _failed(unforeseen(error), exit_code_of(error))
    ended = code if isinstance(code, int) else 0
    if (lost := lost_output()) and not ended:
        message = f"cannot write to stdout: {lost}; free space, then start the same command again"
        return _failed(message, ExitCode.CANNOT_WRITE)
    return ended


def _failed(message: str, exit_code: int) -> int:
    """Prints the line about what ended the command, and returns the exit code."""
    if exit_code in _OF_PATHS and not has_working_folder():
        message, exit_code = str(no_working_folder()), ExitCode.CANNOT_WRITE
    log.error(message, exit_code)
    return exit_code


def _print_usage(error: click.ClickException) -> None:
    if log.is_json():
        log.error(error.format_message(), error.exit_code)
        return
    shown = io.StringIO()
    error.show(shown)
    print_stderr(safe_text(shown.getvalue().rstrip("\n")))  # it quotes what was typed
