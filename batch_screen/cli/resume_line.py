"""The command that goes on with a run: its inputs, date, and the settings of its identity."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from batch_screen.cli.options import flag_names
from batch_screen.config.numbers import OPT_OUT_FILE
from batch_screen.config.origins import PREFIX
from batch_screen.config.settings import Settings
from batch_screen.job import SANDBOX
from batch_screen.standing import RunStanding

_STDIN = "stdin"
_ADDRESS, _TEST_NUMBERS = "api.base_url", "numbers.test_numbers"
_UNTOLD = (OPT_OUT_FILE, _TEST_NUMBERS)


class Resuming(NamedTuple):
    """What to type, and what it cannot say."""

    command: str
    besides: str


def resuming(run: RunStanding, settings: Settings, config: Path | None) -> Resuming:
    """How the run is resumed by who has these settings, partly from the ``config`` file."""
    differing = _differing(run.settings, settings)
    besides = "; ".join(_besides(differing, run.settings))
    told = {name: value for name, value in differing.items() if name not in _UNTOLD}
    flags = {name: value for name, value in told.items() if _has_flag(name, value)}
    variables = {name: value for name, value in told.items() if name not in flags}
    words = [
        *(f"{_variable(name)}={shlex.quote(_text(v))}" for name, v in variables.items()),
        "batch-screen run",
        *("-" if path == _STDIN else shlex.quote(path) for path in run.inputs),
        *([f"--config {shlex.quote(str(config))}"] if config else []),
        *_folders(settings),
        f"--run-date {run.run_date}",
        *(_flag(name, value) for name, value in flags.items()),
    ]
    return Resuming(" ".join(words), besides)


def _differing(of_run: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    own = settings.identity()
    return {name: value for name, value in of_run.items() if value != own.get(name)}


def _besides(differing: Mapping[str, Any], of_run: Mapping[str, Any]) -> Iterator[str]:
    if of_run.get(OPT_OUT_FILE):  # its content alone is known
        yield "with the same --opt-out list"
    if _TEST_NUMBERS in differing:
        yield f"with the same {_TEST_NUMBERS}"


def _folders(settings: Settings) -> Iterator[str]:
    for option, folder in (
        ("--out", settings.output.folder),
        ("--state-dir", settings.output.state_folder),
    ):
        if folder:
            yield f"{option} {shlex.quote(folder)}"


def _has_flag(name: str, value: Any) -> bool:
    if (name, value) == ("input.has_header", False) or name == _ADDRESS:
        return True
    return name in flag_names() and not isinstance(value, bool) and value != []


def _flag(name: str, value: Any) -> str:
    if name == "input.has_header":
        return "--no-header"
    if (name, value) == (_ADDRESS, SANDBOX):
        return "--sandbox"
    return f"{flag_names()[name]} {shlex.quote(_text(value))}"


def _variable(name: str) -> str:
    return f"{PREFIX}{name.replace('.', '__')}".upper()


def _text(value: Any) -> str:
    """The value as a flag or a variable gives it.

    >>> _text(["DE", "AT"]), _text(True), _text({"sim-swap/check": "/v2"})
    ('DE,AT', 'true', '{"sim-swap/check": "/v2"}')
    """
    if isinstance(value, list):
        return ",".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)
