"""Reads config.toml as its reader does: what stands above each setting."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

CONFIG = Path(__file__).parents[1] / "config.toml"

_SECTION = re.compile(r"\[(\w+)\]")
_TABLE = re.compile(r"\[(\w+)\.(\w+)\]")
_SETTING = re.compile(r"(\w+) = (.*)")
# At the end of a comment it is a mark, inside a sentence it is part of it.
_MARK = re.compile(r"(?<=[.…])\s+\[run identity\]$")


class Written(NamedTuple):
    """A setting as config.toml writes it; ``value`` is TOML, or empty for a table."""

    comment: str
    value: str
    example: str = ""


def read_config(text: str) -> dict[str, Written]:
    r"""Each setting by its dotted name.

    >>> read_config("[a]\n# Why.\nb = 1\n")
    {'a.b': Written(comment='Why.', value='1', example='')}
    """
    found: dict[str, Written] = {}
    section = ""
    for block in re.split(r"\n{2,}", text.strip()):
        lines = block.splitlines()
        if heading := _SECTION.fullmatch(lines[0]):
            section = heading[1]
        found |= _settings(section, lines)
    return found


def _settings(section: str, lines: list[str]) -> dict[str, Written]:
    """The settings of a block: a table, one value, or several values under one comment."""
    found: dict[str, Written] = {}
    for number, line in enumerate(lines):
        if table := _TABLE.fullmatch(line):
            written = Written(_about(lines[:number]), "", _prose(lines[number + 1 :]))
            return {f"{table[1]}.{table[2]}": written}
        if setting := _SETTING.fullmatch(line):
            found[f"{section}.{setting[1]}"] = Written(_about(lines), setting[2])
    return found


def _about(lines: list[str]) -> str:
    return _MARK.sub("", _prose(lines)).replace("[run identity]", "run's identity")


def _prose(lines: list[str]) -> str:
    """The comments as running text."""
    return " ".join(line.removeprefix("#").strip() for line in lines if line.startswith("#"))
