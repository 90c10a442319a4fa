"""Writes configuration files from the template config.toml, and shows merged settings.

There is one such file, config.toml at the root of the repository: an installed package holds it
beside its modules, a checkout finds it above them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import tomlkit

import batch_screen
from batch_screen.config.load import Flags, Origin, Source, Traced, parse_settings
from batch_screen.config.paths import shown_secret_file
from batch_screen.config.settings import Settings
from batch_screen.masking import mask_number, mask_text, safe_line

_NAME = "config.toml"
_INTRODUCTION = """\
# Settings of batch-screen. What is not set here has its default, which stands beside its
# explanation with a # right in front of it: take that away to set it.
# Name this file with --config, or with the variable BATCH_SCREEN_CONFIG.
"""
_HEADING = re.compile(r"\[([\w.]+)\]")
_SETTING = re.compile(r"(\w+) = ")


def template() -> str:
    """The template: every setting with its explanation and its default."""
    package = Path(batch_screen.__file__).parent
    installed = package / _NAME
    return (installed if installed.exists() else package.parent / _NAME).read_text("utf-8")


def new_configuration(chosen: Flags, name: Path) -> str:
    """A configuration file with all explanations, in which only ``chosen`` is set.

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
    # Line by line: tomlkit can set a value, but not turn one that is set into a comment.
    own: Mapping[str, Any] = {}
    for line in lines:
        if heading := _HEADING.match(line):
            section, _, table = heading[1].partition(".")
            own = chosen.get(section, {})
            yield line
            yield from toml_lines(own.get(table, {}))
        elif setting := _SETTING.match(line):
            name = setting[1]
            yield from toml_lines({name: own[name]}) if name in own else [f"#{line}"]
        else:
            yield line


def toml_lines(values: Mapping[str, Any]) -> list[str]:
    r"""A line of TOML for each value, whole numbers with thousands separators.

    >>> toml_lines({"sim-swap/check": ["a\tb"], "rows": 500_000})
    ['"sim-swap/check" = ["a\\tb"]', 'rows = 500_000']
    """
    apart = {
        name: tomlkit.value(f"{value:_}") if type(value) is int else value  # no bool
        for name, value in values.items()
    }
    return tomlkit.dumps(apart).split("\n")[:-1]


# The settings as a file that can be pasted, each with where it comes from.
#
# What holds a secret or a phone number is not shown: its line is a comment, masked, so that the
# file still loads and nobody takes a mask for a value.

_PLACE_CHARACTERS = 1_000
_HIDDEN = "•••"
_SECRET_FILES = ("api.key_file", "privacy.id_key_file")
_FROM = {
    Source.FLAG: "from the command line",
    Source.VARIABLE: "from the variable {}",
    Source.FILE: "from {}",
    Source.DEFAULT: "default",
}


class Setting(msgspec.Struct, frozen=True):
    """A setting and its value; ``is_masked``: the value is not shown in full."""

    name: str
    value: Any
    source: Source
    place: str
    is_masked: bool

    def __str__(self) -> str:
        """Its line or table of TOML, with a comment on the origin of its value."""
        origin = f"  # {_FROM[self.source].format(self.place)}"
        if isinstance(self.value, dict):
            return "\n".join(("", f"[{self.name}]{origin}", *toml_lines(self.value)))
        [line] = toml_lines({self.name.split(".")[1]: self.value})
        return f"{'# not shown in full: ' if self.is_masked else ''}{line}{origin}"


def shown_settings(traced: Traced) -> list[Setting]:
    """Every setting, in the order of the sections."""
    dumped = traced.settings.model_dump(mode="json")
    return [
        _shown(f"{section}.{name}", value, traced.origins[f"{section}.{name}"])
        for section, values in dumped.items()
        for name, value in values.items()
    ]


def as_toml(settings: list[Setting]) -> str:
    """The settings as TOML, each with a comment on its origin."""
    sections = []
    for section in Settings.model_fields:
        own = [each for each in settings if each.name.split(".")[0] == section]
        own.sort(key=lambda each: isinstance(each.value, dict))  # a table takes all that follows it
        sections.append("\n".join((f"[{section}]", *map(str, own))))
    return "\n\n".join(sections)


def _shown(name: str, value: Any, origin: Origin) -> Setting:
    masked = value
    if name == "numbers.test_numbers":
        masked = [mask_number(number) for number in value]
    elif name in _SECRET_FILES and value:
        masked = shown_secret_file(value)
    elif name == "api.proxy":
        masked = _without_user(value)
    elif isinstance(value, str):
        masked = mask_text(value)
    elif isinstance(value, list):
        masked = [mask_text(text) for text in value]
    place = safe_line(origin.place, _PLACE_CHARACTERS)
    return Setting(name, masked, origin.source, place, is_masked=masked != value)


def _without_user(address: str) -> str:
    """The address without user and password.

    >>> _without_user("http://me:pw@proxy.example:3128")
    'http://•••@proxy.example:3128'
    """
    user, at, _ = urlsplit(address).netloc.rpartition("@")
    return address.replace(f"{user}@", f"{_HIDDEN}@", 1) if at else address
