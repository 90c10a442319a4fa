"""``batch-screen init``: writes a commented configuration file, after some questions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import click

from batch_screen.cli.console import print_json, print_stderr, print_text
from batch_screen.cli.options import flags_of
from batch_screen.config.load import load_settings
from batch_screen.config.paths import refuse_address
from batch_screen.config.settings import Settings
from batch_screen.config.template import new_configuration
from batch_screen.errors import ConfigurationError, OutputError
from batch_screen.masking import safe_text
from batch_screen.storage.atomic import translated, write_atomically

_FLAGS = dict[str, dict[str, Any]]


class _Question(NamedTuple):
    section: str
    setting: str
    text: str


_QUESTIONS = (
    _Question("output", "folder", "Folder for results"),
    _Question("input", "phone_column", "Columns of numbers, with commas (empty: guessed)"),
    _Question(
        "input", "default_region", "Region of numbers without a country, as DE (empty: none)"
    ),
    _Question("screening", "endpoints", "Endpoints to ask, with commas, or all"),
    _Question("pacing", "rate_per_second", "Requests a second that the contract allows"),
    _Question("api", "key_file", "File that holds the API key, not the key (empty: none)"),
)


def init(*, file: Path, force: bool, yes: bool, as_json: bool, **options: Any) -> None:
    """Asks the questions, writes the file, and prints the next step."""
    refuse_address(file, "FILE")
    if file.exists() and not force:
        raise OutputError(f"{file} is there already; replace it with --force, or name another file")
    is_asking = not yes
    if is_asking and not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask on: give options, and --yes")

    flags = flags_of(options)
    dumped = load_settings(flags).model_dump(mode="json")  # a repeatable option gives a tuple
    chosen = {s: {name: dumped[s][name] for name in values} for s, values in flags.items()}
    new_configuration(chosen, file)  # what options say is refused before anything is asked
    if is_asking:
        for question in _QUESTIONS:
            if question.setting not in chosen.get(question.section, {}):
                _ask(question, chosen)
    content = new_configuration(chosen, file).encode()
    with translated("write", file):
        file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, content)
    key = chosen.get("api", {}).get("key_file")
    if key and not Path(key).is_file():
        print_stderr(
            "note: there is no file yet of the name that api.key_file has; write the key into it, "
            "with mode 0600; if that name is the key itself, take it out there"
        )
    names = [f"{section}.{name}" for section, values in chosen.items() for name in values]
    shown = safe_text(str(file))
    if as_json:
        print_json({"file": shown, "set": names})
    else:
        print_text(
            f"wrote {shown}: {', '.join(names) or 'nothing'} set, all else as it is by default\n"
            f"next: batch-screen doctor --config {shown}"
        )


def _ask(question: _Question, chosen: _FLAGS) -> None:
    """Asks until the answer is valid; an empty answer leaves the default unset."""
    section, setting, text = question
    default = Settings().model_dump(mode="json")[section][setting]
    shown = ",".join(default) if isinstance(default, list) else str(default)

    def read(typed: str) -> Any:
        try:
            found = load_settings({**chosen, section: {**chosen.get(section, {}), setting: typed}})
        except ConfigurationError as error:
            raise click.UsageError(str(error).removeprefix("command line: ")) from None
        return found.model_dump(mode="json")[section][setting]

    value = click.prompt(text, default=shown, show_default=bool(shown), value_proc=read, err=True)
    if value != default:
        chosen.setdefault(section, {})[setting] = value
