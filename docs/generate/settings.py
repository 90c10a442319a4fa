"""Generates docs/reference/settings.md, from types, flags and config.toml's comments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from batch_screen.cli.main import cli
from batch_screen.cli.options import flags_of
from batch_screen.config.load import KEY_FILE_VARIABLE, sections, variable_names
from batch_screen.config.settings import Settings
from batch_screen.runs.state import KEEP_COLUMNS
from docs.generate.markdown import code, one_of, page, table

CONFIG = Path(__file__).parents[2] / "config.toml"

_SECTION = re.compile(r"\[(\w+)\]")
_TABLE = re.compile(r"\[(\w+)\.(\w+)\]")
_SETTING = re.compile(r"(\w+) = (.*)")
# At the end of a comment it is a mark, inside a sentence it is part of it.
_MARK = re.compile(r"(?<=[.…])\s+\[run identity\]$")


_HEAD = """\
A flag wins over an environment variable, that over the TOML file that `--config` or
`BATCH_SCREEN_CONFIG` names, that over the default. [config.toml](../../config.toml) is such a file
with every setting, to copy from. In a variable, lists are comma-separated and tables are JSON. A
setting that does not exist is an error with its line. `batch-screen init` asks for what differs
between users and writes such a file. `batch-screen config` prints all settings merged, each with
where it comes from, without keys, passwords and numbers.

The API key is read from the first of these: the file that `--api-key-file`,
`BATCH_SCREEN_API_KEY_FILE` or `api.key_file` names; a systemd credential
`batch-screen-api-key`; the variable `BATCH_SCREEN_API_KEY`.

**Run identity** says whether the setting belongs to a run's identity: with another value it is
another run, and while the first is unfinished the next start refuses to resume by mistake. All
others may change on a resume."""
_TYPES = {
    "string": "text",
    "boolean": "true or false",
    "number": "number",
    "integer": "whole number",
}
_BOUNDS = {
    "exclusiveMinimum": "above",
    "minimum": "from",
    "exclusiveMaximum": "below",
    "maximum": "to",
}
_SHORT_VARIABLES = {"api.key_file": (KEY_FILE_VARIABLE,)}


def settings_page() -> str:
    """The page, a chapter for each section in the order of the settings."""
    written = read_config(CONFIG.read_text("utf-8"))
    identity = {*Settings().identity()} - {KEEP_COLUMNS}  # among them, but no other run's
    flags = flags_of_settings()
    variables = {dotted: name for name, dotted in variable_names().items()}
    parts: list[str] = []
    for section, model in sections().items():
        parts.append(f"## [{section}]\n\n{(model.__doc__ or '').splitlines()[0]}")
        schema = model.model_json_schema()
        for name, each in schema["properties"].items():
            dotted = f"{section}.{name}"
            said = written[dotted]
            facts = {
                "Default": code(said.value) or "none",
                "Type": type_of(each, schema.get("$defs", {})),
                "Flag": one_of(flags.get(dotted, [])) or "none",
                "Variable": one_of([*_SHORT_VARIABLES.get(dotted, ()), variables[dotted]]),
                "Run identity": "yes" if dotted in identity else "no",
            }
            parts += [f"### {name}", said.comment, table(tuple(facts), [tuple(facts.values())])]
            if said.example:
                parts.append(f"For example {code(said.example)}.")
    return page("Settings", _HEAD, *parts)


def flags_of_settings() -> dict[str, list[str]]:
    """Each setting's flags, as the command line maps them."""
    found: dict[str, dict[str, None]] = {}
    commands = [each.params for each in cli.commands.values()]
    # What reads no list of numbers sets nothing, though it may have a flag of the same name.
    options = [o for params in commands if "no_header" in {p.name for p in params} for o in params]
    blank = dict.fromkeys((str(option.name) for option in options), None)
    for option in options:
        for section, values in flags_of({**blank, option.name: True}).items():
            for setting in values:
                # Several commands have the same option; a dictionary keeps it once, in order.
                found.setdefault(f"{section}.{setting}", {})[option.opts[0]] = None
    return {dotted: [*names] for dotted, names in found.items()}


def type_of(schema: Mapping[str, Any], kinds: Mapping[str, Any]) -> str:
    """A type of JSON Schema in words; ``kinds`` are the definitions it refers to.

    >>> type_of({"type": "integer", "minimum": 1, "maximum": 2400}, {})
    'whole number from 1 to 2400'
    """
    if "$ref" in schema:
        return type_of(kinds[schema["$ref"].rpartition("/")[2]], kinds)
    if "enum" in schema:
        return f"one of {one_of(schema['enum'])}"
    if schema["type"] == "array":
        return f"list of: {type_of(schema['items'], kinds)}"
    if schema["type"] == "object":
        names = schema.get("propertyNames", {"type": "string"})
        return (
            f"table of: {type_of(names, kinds)} = {type_of(schema['additionalProperties'], kinds)}"
        )
    bounds = [f" {word} {schema[name]}" for name, word in _BOUNDS.items() if name in schema]
    return _TYPES[schema["type"]] + "".join(bounds)


# config.toml as its reader sees it: what stands above each setting.


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
