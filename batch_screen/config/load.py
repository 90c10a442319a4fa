"""Loads the settings: flags over environment over the TOML file over defaults.

Every mistake becomes one line that names the flag, the variable, or the file and its line,
and what was probably meant.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from batch_screen.config.key import KEY_VARIABLE
from batch_screen.config.paths import is_address, shown_address
from batch_screen.config.sections import Section
from batch_screen.config.settings import Settings
from batch_screen.errors import ConfigurationError
from batch_screen.masking import plain
from batch_screen.storage.reading import read_small

# Where a value comes from: the command line, a variable, a line of a file, or the default.

PREFIX = "BATCH_SCREEN_"

_HEADING = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"""\s*["']?([^"'=\s]+)["']?\s*=""")

Flags = Mapping[str, Mapping[str, Any]]


class Source(StrEnum):
    """The kinds of origins, the strongest first."""

    FLAG = "flag"
    VARIABLE = "variable"
    FILE = "file"
    DEFAULT = "default"


class Origin(NamedTuple):
    """The origin of a value: a variable's name, or a file and its line."""

    source: Source
    place: str = ""


@dataclass(frozen=True)
class Origins:
    """The layers that settings are merged from.

    ``text`` is what the ``file`` holds.
    """

    flags: Flags
    environment: Mapping[str, str]
    file: Path | None
    text: str

    def of(self, section: str, name: str) -> Origin:
        """The origin of ``section.name``."""
        if name in self.flags.get(section, {}):
            return Origin(Source.FLAG)
        own = f"{PREFIX}{section}__{name}".upper()
        short = [KEY_FILE_VARIABLE] if (section, name) == ("api", "key_file") else []
        # The short name outweighs the long one.
        for variable in (*short, *(v for v in self.environment if v.upper() == own)):
            if variable in self.environment:
                return Origin(Source.VARIABLE, variable)
        line = line_of(self.text, section, name)
        if self.file is not None and line:
            return Origin(Source.FILE, f"{self.file}, line {line}")
        return Origin(Source.DEFAULT)

    def prefix(self, section: str, name: str) -> str:
        """The prefix of an error about the value; empty if no origin is to blame."""
        source, place = self.of(section, name)
        if source is Source.VARIABLE:
            return f"environment variable {place}: "
        return "command line: " if source is Source.FLAG else f"{place}: " if place else ""


def line_of(text: str, section: str, name: str) -> int | None:
    r"""The line that sets ``section.name``, or opens ``section`` without a name.

    >>> line_of("[api]\ndialect = 1\n[api.paths]", "api", "paths")
    3
    """
    current = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if heading := _HEADING.match(line):
            current = heading[1]
            if current == (f"{section}.{name}" if name else section):
                return number
        elif key := _KEY.match(line):
            dotted = f"{current}.{key[1]}" if current else key[1]
            if dotted in (f"{section}.{name}", section):
                return number
    return None


CONFIG_VARIABLE = f"{PREFIX}CONFIG"
KEY_FILE_VARIABLE = f"{PREFIX}API_KEY_FILE"
"""Short for ``BATCH_SCREEN_API__KEY_FILE``, for the setting that everybody needs."""

_LARGEST_BYTES = 64 << 10
_MOST_DOTS = 1_000


class Traced(NamedTuple):
    """The settings, and the origin of each by dotted name."""

    settings: Settings
    origins: dict[str, Origin]


def load_settings(
    flags: Flags | None = None,
    *,
    config: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """The settings; ``flags`` maps sections to the settings that were given.

    Raises ``ConfigurationError``.
    """
    return load_traced(flags, config=config, environment=environment).settings


def load_traced(
    flags: Flags | None = None,
    *,
    config: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Traced:
    """As ``load_settings``, with the origin of each. Raises ``ConfigurationError``."""
    environment = environment or {}
    flags = flags or {}
    _refuse_unknown_variables(environment)
    text, table = _read_toml(config)
    origins = Origins(flags, environment, config, text)
    settings = _merged(flags, environment, table, origins)
    named = {name: origins.of(*name.split(".")) for name in variable_names().values()}
    return Traced(settings, named)


def parse_settings(text: str, name: Path) -> Settings:
    """The settings of a TOML text alone; errors call it ``name``."""
    return _merged({}, {}, _parsed(text, name), Origins({}, {}, name, text))


def _merged(
    flags: Flags, environment: Mapping[str, str], table: Mapping[str, Any], origins: Origins
) -> Settings:
    known = variable_names()
    variables = {k.upper(): v for k, v in environment.items() if k.upper() in known}
    if KEY_FILE_VARIABLE in environment:  # the short name for the setting everybody needs
        variables[f"{PREFIX}API__KEY_FILE"] = environment[KEY_FILE_VARIABLE]
    layered = _layers(flags, variables, table)
    try:
        found = layered()
    except ValidationError as error:
        raise ConfigurationError(_explain(error.errors(), origins)) from error
    return Settings(**{name: getattr(found, name) for name in Settings.model_fields})


def variable_names() -> dict[str, str]:
    """Every setting's environment variable → its dotted name."""
    return {
        f"{PREFIX}{section}__{name}".upper(): f"{section}.{name}"
        for section, model in sections().items()
        for name in model.model_fields
    }


def sections() -> dict[str, type[Section]]:
    """The settings' sections by name, in their order."""
    return {
        name: field.annotation
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type)
    }


def _layers(flags: Flags, environment: Mapping[str, str], table: Mapping[str, Any]) -> type[Any]:
    """A settings class with these layers as its sources, the strongest first."""

    class Layered(BaseSettings, Settings):
        model_config = SettingsConfigDict(extra="forbid", frozen=True)

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del init_settings, env_settings, dotenv_settings, file_secret_settings
            variables = EnvSettingsSource(
                settings_cls, env_prefix=PREFIX, env_nested_delimiter="__", case_sensitive=False
            )
            variables.config["enable_decoding"] = False  # lists are comma-separated text
            variables.env_vars = {name.lower(): value for name, value in environment.items()}
            return (
                InitSettingsSource(settings_cls, {k: dict(v) for k, v in flags.items()}),
                variables,
                InitSettingsSource(settings_cls, dict(table)),
            )

    return Layered


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    known = {*variable_names(), CONFIG_VARIABLE, KEY_FILE_VARIABLE, KEY_VARIABLE}
    for name in environment:
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            raise ConfigurationError(
                f"environment variable {name} is no setting{_did_you_mean(name.upper(), known)}"
            )


def _read_toml(config: Path | None) -> tuple[str, dict[str, Any]]:
    if config is None:
        return "", {}
    if is_address(config):
        raise ConfigurationError(
            f"cannot read the configuration file {shown_address(config)}: it is an address; name "
            "a local file with --config"
        )
    try:
        # Windows editors begin with a mark and end lines with two characters.
        text = read_small(config, _LARGEST_BYTES).decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the configuration file {config}: {error.strerror}; name another one "
            "with --config"
        ) from error
    except ValueError as error:
        raise _no_toml(config, error) from error
    return text, _parsed(text, config)


def _parsed(text: str, config: Path) -> dict[str, Any]:
    try:
        # tomllib's time and memory grow with the square of a dotted key's parts.
        if any(line.count(".") > _MOST_DOTS for line in text.splitlines()):
            raise RecursionError
        return tomllib.loads(text)
    except RecursionError as error:
        raise ConfigurationError(
            f"{config} is nested too deeply for a configuration; batch-screen init writes a "
            "file to begin with"
        ) from error
    except ValueError as error:  # TOML, encoding, or a number of thousands of digits
        raise _no_toml(config, error) from error


def _no_toml(config: Path, error: ValueError) -> ConfigurationError:
    return ConfigurationError(
        f"{config} is not valid TOML: {plain(str(error))}; fix it, or begin with the file that "
        "batch-screen init writes"
    )


# pydantic's kind of error → what is allowed, in words that go on after a setting's name.
_ALLOWED = {
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "enum": "must be {expected}",
    "string_type": "must be text",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
}


def _explain(errors: list[ErrorDetails], origins: Origins) -> str:
    """One line on the first error, with the value's origin."""
    error = errors[0]
    section, *rest = [str(part) for part in error["loc"]] or [""]
    name = rest[0] if rest else ""
    where = origins.prefix(section, name)
    dotted = ".".join(part for part in (section, *rest[:1]) if part)
    message = error["msg"].removeprefix("Value error, ")
    if allowed := _ALLOWED.get(error["type"]):
        inside = "a name in it " if rest[-1:] == ["[key]"] else "a value in it " if rest[1:] else ""
        message = inside + allowed.format_map(error.get("ctx", {}))
    if error["type"] == "extra_forbidden":
        what = _unknown(section, name)
    else:
        what = f"{dotted}: {message}" if dotted else message
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{where}{what}{more}"


def _unknown(section: str, name: str) -> str:
    if "key" in (section, name) or "api_key" in (section, name):
        return (
            "the API key's value never belongs in a configuration file; use --api-key-file or "
            f"{KEY_VARIABLE}, and remove it there"
        )
    known = sections()
    if not name:
        whole = [f"{s}.{field}" for s, model in known.items() for field in model.model_fields]
        meant = [dotted for dotted in whole if dotted.split(".")[1].startswith(section)]
        hint = f"; did you mean {meant[0]}?" if meant else _did_you_mean(section, known)
        return f"unknown section or key '{section}'{hint}"
    fields = known[section].model_fields if section in known else {}
    return f"unknown setting '{section}.{name}'{_did_you_mean(name, fields)}"


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = [k for k in names if k.startswith(name)] or get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]}?" if close else "; batch-screen config lists all there are"
