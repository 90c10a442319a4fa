"""The command ``batch-screen``: parses, calls one library function, renders, exits.

Command modules import nothing heavy at their top, so that help and completion are quick.
"""

from __future__ import annotations

import io
import os
import sys

import click

from batch_screen.cli.check import check
from batch_screen.cli.diff import diff
from batch_screen.cli.last_words import described, keep_quiet
from batch_screen.cli.plan import plan
from batch_screen.cli.run import run
from batch_screen.cli.sandbox import sandbox
from batch_screen.cli.show import open_missing, settle, tell
from batch_screen.cli.validate import validate
from batch_screen.errors import BatchScreenError
from batch_screen.exit_codes import ExitCode
from batch_screen.masking import safe_line
from batch_screen.version import __version__

# What threads that could not be started are called by Python and by polars.
_GAVE_OUT = ("can't start new thread", "Resource temporarily unavailable")
_MESSAGE_CHARACTERS = 4_000


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
cli.add_command(sandbox)
cli.add_command(validate)
cli.add_command(diff)


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
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)  # it quotes what was typed
        tell(shown.getvalue().rstrip("\n"))
        return error.exit_code
    except BatchScreenError as error:
        _say(f"Error: {error}")
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _say("Error: interrupted")
        return ExitCode.INTERRUPTED
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 (no traceback ever; a panic of polars is no Exception)
        if _has_given_out(error):
            return _system(error)
        _say(f"Error: this is a bug, please report it: {described(error)}")
        return ExitCode.BUG
    return code if isinstance(code, int) else 0


def _has_given_out(error: BaseException) -> bool:
    """Whether the system lacked something that nobody has foreseen, which is no bug."""
    is_system = isinstance(error, (OSError, MemoryError, ImportError))
    return is_system or any(words in str(error) for words in _GAVE_OUT)


def _system(error: BaseException) -> int:
    """Says so and returns the exit code; where it can be expected, an error of ours says more."""
    if isinstance(error, PermissionError):
        _say(f"Error: {error.filename}: {error.strerror}; fix permissions, then start again")
        return ExitCode.CANNOT_WRITE
    _say(f"Error: the system gave out: {described(error)}; free memory or files, then start again")
    return ExitCode.SYSTEM


def _say(message: str) -> None:
    tell(safe_line(message, _MESSAGE_CHARACTERS))
