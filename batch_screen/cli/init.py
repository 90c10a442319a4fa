"""``batch-screen init``: writes a commented configuration file, after some questions."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from batch_screen.cli.console import show, show_json, tell
from batch_screen.cli.options import choosing_options, flags_of
from batch_screen.errors import OutputError

DEFAULT_NAME = "batch-screen.toml"
"""What documents and recipes call a user's settings; config.toml is the template they come from."""

_FLAGS = dict[str, dict[str, Any]]


class _Question(NamedTuple):
    section: str
    setting: str
    text: str


_QUESTIONS = (
    _Question("output", "folder", "Folder for results"),
    _Question("input", "phone_column", "Column of numbers (empty: guessed)"),
    _Question(
        "input", "default_region", "Region of numbers without a country, as DE (empty: none)"
    ),
    _Question("screening", "endpoints", "Endpoints to ask, with commas, or all"),
    _Question("pacing", "rate_per_second", "Requests a second that the contract allows"),
    _Question("api", "key_file", "File that holds the API key, not the key (empty: none)"),
)


@click.command()
@click.argument("file", default=DEFAULT_NAME, type=click.Path(path_type=Path))
@choosing_options
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@click.option("--yes", is_flag=True, help="Ask nothing: what no option says keeps its default.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def init(*, file: Path, force: bool, yes: bool, as_json: bool, **options: Any) -> None:
    """Write FILE (batch-screen.toml): the settings you choose, and all others explained.

    Asks where a terminal is, for what no option says. The file is readable by its owner only; it
    never holds the key, only where the key is.
    """
    if file.exists() and not force:
        raise OutputError(f"{file} is there already; replace it with --force, or name another file")
    is_asking = not yes
    if is_asking and not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask on: give options, and --yes")

    from batch_screen.config.template import new_configuration  # noqa: PLC0415 (heavy)
    from batch_screen.storage.atomic import translated, write_whole  # noqa: PLC0415

    chosen = _plain(flags_of(options))
    new_configuration(chosen, file)  # what options say is refused before anything is asked
    if is_asking:
        for question in _QUESTIONS:
            if question.setting not in chosen.get(question.section, {}):
                _ask(question, chosen)
    content = new_configuration(chosen, file).encode()
    with translated("write", file):
        file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, content)
    _tell_of_the_key(chosen)
    _say(file, chosen, as_json=as_json)


def _plain(flags: Mapping[str, Mapping[str, Any]]) -> _FLAGS:
    """Values as a file may hold them: an option that may be repeated gives a tuple."""
    from batch_screen.config.load import load_settings  # noqa: PLC0415

    dumped = load_settings(flags).model_dump(mode="json")
    return {s: {name: dumped[s][name] for name in values} for s, values in flags.items()}


def _ask(question: _Question, chosen: _FLAGS) -> None:
    """Asks until the answer can be meant; the default is not chosen but left as it is."""
    from batch_screen.config.load import load_settings  # noqa: PLC0415
    from batch_screen.config.settings import Settings  # noqa: PLC0415
    from batch_screen.errors import ConfigurationError  # noqa: PLC0415

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


def _tell_of_the_key(chosen: _FLAGS) -> None:
    named = chosen.get("api", {}).get("key_file")
    if named and not Path(named).is_file():
        tell(f"note: there is no file {named} yet; write the key into it, with mode 0600")


def _say(file: Path, chosen: _FLAGS, *, as_json: bool) -> None:
    names = [f"{section}.{name}" for section, values in chosen.items() for name in values]
    if as_json:
        import msgspec  # noqa: PLC0415

        from batch_screen.masking import safe_line  # noqa: PLC0415

        told = {"file": safe_line(str(file)), "set": names}
        show_json(msgspec.json.format(msgspec.json.encode(told)).decode())
        return
    show("\n".join(_lines(file, names)))


def _lines(file: Path, names: list[str]) -> Iterator[str]:
    yield f"wrote {file}: {', '.join(names) or 'nothing'} set, all else as it is by default"
    yield f"next: batch-screen doctor --config {file}"
