"""The configuration file that documents every setting, and new files made from it.

There is one such file, config.toml at the root of the repository: an installed package holds it
beside its modules, a checkout finds it above them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

import batch_screen
from batch_screen.config.load import Flags, Origin, Source, Traced, parse_settings
from batch_screen.config.settings import Settings
from batch_screen.masking import mask_number, mask_text, safe_line

# Writes values as TOML: what ``tomllib`` reads back as they were.

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_key(name: str) -> str:
    """A key, in quotes where it needs them.

    >>> print(toml_key("headroom"), toml_key("sim-swap/check"))
    headroom "sim-swap/check"
    """
    return name if _BARE.fullmatch(name) else _text(name)


def toml_value(value: Any) -> str:
    r"""A text, number, truth or list of them; ``ValueError`` for anything else.

    >>> print(toml_value(["a\tb"]), toml_value(2.0), toml_value(True), toml_value(500_000))
    ["a\tb"] 2.0 true 500_000
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:_}"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Sequence):
        return f"[{', '.join(map(toml_value, value))}]"
    raise ValueError(f"a {type(value).__name__} is no value of a setting; report this as a bug")


def toml_table(values: Mapping[str, Any]) -> list[str]:
    """A line for each value of a table."""
    return [f"{toml_key(str(name))} = {toml_value(value)}" for name, value in values.items()]


def _text(text: str) -> str:
    # JSON's escapes are TOML's, but for the one character that JSON leaves as it is.
    return json.dumps(str(text), ensure_ascii=False).replace("\x7f", "\\u007f")


_NAME = "config.toml"
_INTRODUCTION = """\
# Settings of batch-screen. What is not set here has its default, which stands beside its
# explanation with a # right in front of it: take that away to set it.
# Name this file with --config, or with the variable BATCH_SCREEN_CONFIG.
"""
_HEADING = re.compile(r"\[([\w.]+)\]")
_SETTING = re.compile(r"(\w+) = ")


def template() -> str:
    """The file that documents every setting with its default."""
    package = Path(batch_screen.__file__).parent
    installed = package / _NAME
    return (installed if installed.exists() else package.parent / _NAME).read_text("utf-8")


def new_configuration(chosen: Flags, name: Path) -> str:
    """A file with all explanations, in which only what is ``chosen`` is set.

    ``chosen`` maps sections to settings, as flags do. Raises ``ConfigurationError``, which calls
    the file by its name, if a chosen value cannot be meant.
    """
    introduction, rest = template().split("\n[", 1)
    about_runs = introduction.partition("# [run identity]")
    text = f"{_INTRODUCTION}#\n{''.join(about_runs[1:])}\n[{rest}"
    filled = "\n".join(_filled(text.splitlines(), chosen)) + "\n"
    parse_settings(filled, name)
    return filled


def _filled(lines: list[str], chosen: Flags) -> Iterator[str]:
    section = ""
    for line in lines:
        if heading := _HEADING.match(line):
            section = heading[1]
            yield line
            yield from toml_table(_chosen_table(section, chosen))
        elif setting := _SETTING.match(line):
            own = chosen.get(section, {})
            name = setting[1]
            yield f"{name} = {toml_value(own[name])}" if name in own else f"#{line}"
        else:
            yield line


def _chosen_table(heading: str, chosen: Flags) -> Mapping[str, Any]:
    """What is chosen for a setting that is a table of its own, as ``[api.paths]`` is."""
    section, _, name = heading.partition(".")
    table: Mapping[str, Any] = chosen.get(section, {}).get(name, {}) if name else {}
    return table


# The settings as a file that can be pasted, each with where it comes from.
#
# What holds a secret or a phone number is not shown: its line is a comment, masked, so that the
# file still loads and nobody takes a mask for a value.

_PLACE_CHARACTERS = 1_000
_HIDDEN = "•••"
_NUMBERS = "numbers.test_numbers"
_PROXY = "api.proxy"


class Setting(msgspec.Struct, frozen=True):
    """A setting: ``is_masked`` says that its value is not shown as it is."""

    name: str
    value: Any
    source: Source
    place: str
    is_masked: bool


def shown_settings(traced: Traced) -> list[Setting]:
    """Every setting in the order of the sections."""
    dumped = traced.settings.model_dump(mode="json")
    return [
        _shown(f"{section}.{name}", value, traced.origins[f"{section}.{name}"])
        for section, values in dumped.items()
        for name, value in values.items()
    ]


def as_toml(settings: list[Setting]) -> str:
    """The settings as TOML; a comment beside each value says where it comes from."""
    lines: list[str] = []
    for section in Settings.model_fields:
        own = [each for each in settings if each.name.split(".")[0] == section]
        # A table takes all lines that follow it, so tables come last.
        plain = [each for each in own if not isinstance(each.value, dict)]
        tables = [each for each in own if isinstance(each.value, dict)]
        lines += ["", f"[{section}]", *(_line(each) for each in plain)]
        for each in tables:
            lines += ["", f"[{each.name}]  # {_from(each)}", *toml_table(each.value)]
    return "\n".join(lines[1:])


def _shown(name: str, value: Any, origin: Origin) -> Setting:
    masked = _masked(name, value)
    place = safe_line(origin.place, _PLACE_CHARACTERS)
    return Setting(name, masked, origin.source, place, is_masked=masked != value)


def _masked(name: str, value: Any) -> Any:
    if name == _NUMBERS:
        return [mask_number(number) for number in value]
    if name == _PROXY:
        return _without_user(value)
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, list):
        return [mask_text(text) for text in value]
    return value


def _without_user(address: str) -> str:
    """The address without user and password.

    >>> _without_user("http://me:pw@proxy.example:3128")
    'http://•••@proxy.example:3128'
    """
    user, at, _ = urlsplit(address).netloc.rpartition("@")
    return address.replace(f"{user}@", f"{_HIDDEN}@", 1) if at else address


def _line(setting: Setting) -> str:
    line = f"{setting.name.split('.')[1]} = {toml_value(setting.value)}"
    hidden = "# not shown in full: " if setting.is_masked else ""
    return f"{hidden}{line}  # {_from(setting)}"


def _from(setting: Setting) -> str:
    return " ".join(_words(setting))


def _words(setting: Setting) -> Iterator[str]:
    match setting.source:
        case Source.FLAG:
            yield "from the command line"
        case Source.VARIABLE:
            yield f"from the variable {setting.place}"
        case Source.FILE:
            yield f"from {setting.place}"
        case Source.DEFAULT:
            yield "default"
