"""Where a value comes from: the command line, a variable, a line of a file, or the default."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

PREFIX = "BATCH_SCREEN_"

_HEADING = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"""\s*["']?([^"'=\s]+)["']?\s*=""")

Flags = Mapping[str, Mapping[str, Any]]


class Source(StrEnum):
    """The kinds of places, the strongest first."""

    FLAG = "flag"
    VARIABLE = "variable"
    FILE = "file"
    DEFAULT = "default"


class Origin(NamedTuple):
    """A kind of place, and which one: the variable's name, or the file and its line."""

    source: Source
    place: str = ""


@dataclass(frozen=True)
class Origins:
    """The layers that settings are put together from.

    ``short`` maps variables that are short for a setting's own to that setting. ``text`` is what
    the ``file`` holds.
    """

    flags: Flags
    environment: Mapping[str, str]
    short: Mapping[str, str]
    file: Path | None
    text: str

    def of(self, section: str, name: str) -> Origin:
        """Where ``section.name`` gets its value."""
        if name in self.flags.get(section, {}):
            return Origin(Source.FLAG)
        if variable := self._variable(section, name):
            return Origin(Source.VARIABLE, variable)
        line = line_of(self.text, section, name)
        if self.file is not None and line:
            return Origin(Source.FILE, f"{self.file}, line {line}")
        return Origin(Source.DEFAULT)

    def prefix(self, section: str, name: str) -> str:
        """What an error about the value begins with; empty where no place is at fault."""
        source, place = self.of(section, name)
        if source is Source.VARIABLE:
            return f"environment variable {place}: "
        return "command line: " if source is Source.FLAG else f"{place}: " if place else ""

    def _variable(self, section: str, name: str) -> str:
        for short, meant in self.short.items():  # it outweighs the long one
            if short in self.environment and meant == f"{section}.{name}":
                return short
        own = f"{PREFIX}{section}__{name}".upper()
        return next((v for v in self.environment if v.upper() == own), "")


def line_of(text: str, section: str, name: str) -> int | None:
    r"""The line that sets ``section.name``, or opens ``section`` where no name is given.

    >>> line_of("[api]\ndialect = 1\n[api.paths]", "api", "paths")
    3
    """
    current = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if heading := _HEADING.match(line):
            current = heading[1]
            if current == (f"{section}.{name}" if name else section):
                return number
        elif (key := _KEY.match(line)) and _dotted(current, key[1]) in (
            f"{section}.{name}",
            section,
        ):
            return number
    return None


def _dotted(section: str, key: str) -> str:
    return f"{section}.{key}" if section else key
