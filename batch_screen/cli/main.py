"""The command ``batch-screen``: parses, calls one library function, renders, exits.

Command modules import nothing heavy at their top, so that help and completion are quick.
"""

from __future__ import annotations

import io
import os
import sys

import click

from batch_screen import __version__
from batch_screen.cli import log
from batch_screen.cli.check import check
from batch_screen.cli.completion import completion
from batch_screen.cli.config import config
from batch_screen.cli.console import open_missing, settle, tell
from batch_screen.cli.diff import diff
from batch_screen.cli.doctor import doctor
from batch_screen.cli.init import init
from batch_screen.cli.last_words import keep_quiet, unforeseen
from batch_screen.cli.plan import plan
from batch_screen.cli.purge import purge
from batch_screen.cli.report import report
from batch_screen.cli.run import run
from batch_screen.cli.sandbox import sandbox
from batch_screen.cli.status import status
from batch_screen.cli.validate import validate
from batch_screen.errors import BatchScreenError, ExitCode, exit_code_of


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="batch-screen")
def cli() -> None:
    """Screen lists of phone numbers against a mobile network's fraud signals.

    \b
    Try it without an account:  batch-screen run customers.csv --sandbox --out screened
    What is in a list:          batch-screen check customers.csv
    What it would cost:         batch-screen plan customers.csv
    """  # noqa: D301 (click's mark for a paragraph that keeps its lines)


cli.add_command(run)
cli.add_command(check)
cli.add_command(plan)
cli.add_command(status)
cli.add_command(validate)
cli.add_command(diff)
cli.add_command(report)
cli.add_command(purge)
cli.add_command(doctor)
cli.add_command(init)
cli.add_command(config)
cli.add_command(completion)
cli.add_command(sandbox)


for command in cli.commands.values():  # also where one is used without the group
    command.context_settings.setdefault("help_option_names", ["-h", "--help"])


def main() -> None:
    """Runs the command; every failure is one masked line on stderr and an exit code."""
    os.umask(0o077)  # whatever is written holds personal data
    open_missing()
    keep_quiet()
    try:
        sys.exit(_exit_code())
    finally:
        settle()


def _exit_code() -> int:
    log.presume(sys.argv[1:], os.environ)
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        _tell_of_usage(error)
        return error.exit_code
    except BatchScreenError as error:
        log.error(str(error), error.exit_code)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        log.error("interrupted; start the same command again", ExitCode.INTERRUPTED)
        return ExitCode.INTERRUPTED
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 (no traceback ever; a panic of polars is no Exception)
        log.error(unforeseen(error), exit_code_of(error))
        return exit_code_of(error)
    return code if isinstance(code, int) else 0


def _tell_of_usage(error: click.ClickException) -> None:
    if log.is_json():
        log.error(error.format_message(), error.exit_code)
        return
    shown = io.StringIO()
    error.show(shown)  # it quotes what was typed
    tell(shown.getvalue().rstrip("\n"))
