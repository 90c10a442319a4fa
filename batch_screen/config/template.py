"""The configuration file that documents every setting, and new files made from it.

There is one such file, config.toml at the root of the repository: an installed package holds it
beside its modules, a checkout finds it above them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import batch_screen
from batch_screen.config.load import parse_settings
from batch_screen.config.origins import Flags
from batch_screen.config.toml import toml_table, toml_value

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
