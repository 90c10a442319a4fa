"""Log lines on stderr: text for people, or one JSON object a line for programs.

A process has one stderr, so which of both, and whose run it is, is known here once. No line
holds an escape or a carriage return, and no colour is ever used; only a bar on a terminal
(``progress``) moves the cursor.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from batch_screen.cli.console import print_stderr
from batch_screen.errors import MAY_PASS, ON_PURPOSE
from batch_screen.masking import hide_keys, safe_line

AUTO, TEXT, JSON = "auto", "text", "json"
FORMATS = (AUTO, TEXT, JSON)

_VARIABLE = "BATCH_SCREEN_LOGGING__FORMAT"
_FLAG = "--log-format"
_COMMANDS = ("run", "retry")
_MESSAGE_CHARACTERS = 4_000
_NO_WORDS = b"Error: a system resource ran out: free memory or files, then start again\n"
_JSON_WITHOUT_WORDS = (
    b'{"level": "error", "event": "error", '
    b'"message": "a system resource ran out: free memory or files, then start again"}\n'
)


class _Log:
    """The log format of this process, and the run its lines name."""

    is_json = False
    run_id = ""


_log = _Log()


def choose(form: str) -> None:
    """Sets the log format; ``auto`` is JSON where stderr is no terminal."""
    _log.is_json = form == JSON or (form == AUTO and not sys.stderr.isatty())


def choose_early(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Sets the log format before the settings are loaded, for errors in them.

    Of other commands than ``run`` it is text: people pipe what they say.
    """
    _log.run_id = ""
    given = [after for flag, after in pairwise(arguments) if flag == _FLAG]
    given += [each.partition("=")[2] for each in arguments if each.startswith(f"{_FLAG}=")]
    form = [*given, environment.get(_VARIABLE, AUTO)][0]
    command = next((each for each in arguments if not each.startswith("-")), "")
    choose(form if command in _COMMANDS else TEXT)


def name_run(run_id: str) -> None:
    """Sets the run that JSON lines name."""
    _log.run_id = run_id


def is_json() -> bool:
    return _log.is_json


def event(name: str, level: str = "info", **fields: object) -> None:
    """A JSON line; a field that is None is left out, text in it must be masked."""
    print_stderr(_line(name, level, fields))


def note(message: str) -> None:
    """One line of information."""
    _say("note", "info", safe_line(message, _MESSAGE_CHARACTERS))


def warning(message: str, *, kind: str = "warning") -> None:
    """A warning; as text it begins with the kind."""
    _say("warning", "warning", message, f"{kind}: ")


def error(message: str, exit_code: int) -> None:
    """The error that ends the command, with the next step."""
    ends = {"exit_code": exit_code, "may_pass": exit_code in MAY_PASS}
    if exit_code in ON_PURPOSE:
        _say("stopped", "warning", message, "Error: ", **ends)
    else:
        _say("error", "error", message, "Error: ", **ends)


def bug(message: str) -> None:
    """A bug that does not end the command."""
    _say("error", "error", message, "Error: ")


def last_resort() -> None:
    """A fixed line for when memory has run out and no other can be built."""
    with suppress(OSError):
        os.write(2, _JSON_WITHOUT_WORDS if _log.is_json else _NO_WORDS)


def shout(message: str) -> None:
    """One line at once, from a signal handler: takes no lock and no buffer."""
    line = _line("stopping", "warning", {"message": message}) if _log.is_json else f"\n{message}"
    with suppress(OSError):  # its reader may have got the signal as well
        os.write(2, f"{hide_keys(line)}\n".encode())


def _say(name: str, level: str, message: str, prefix: str = "", **fields: object) -> None:
    if _log.is_json:
        event(name, level, **fields, message=safe_line(message, _MESSAGE_CHARACTERS))
    else:
        print_stderr(safe_line(f"{prefix}{message}", _MESSAGE_CHARACTERS))


def _line(name: str, level: str, fields: Mapping[str, Any]) -> str:
    import msgspec  # noqa: PLC0415 (a tenth of the start, and help prints no JSON)

    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    head = {"time": now, "level": level, "event": name}
    given = {name: value for name, value in fields.items() if value is not None}
    whose = {"run_id": _log.run_id} if _log.run_id else {}
    line = msgspec.json.encode({**head, **whose, **given})
    return msgspec.json.format(line, indent=0).decode()
