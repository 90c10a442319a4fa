"""The settings as a file that can be pasted, each with where it comes from.

What holds a secret or a phone number is not shown: its line is a comment, masked, so that the
file still loads and nobody takes a mask for a value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec

from batch_screen.config.load import Traced
from batch_screen.config.origins import Origin, Source
from batch_screen.config.settings import Settings
from batch_screen.config.toml import toml_table, toml_value
from batch_screen.masking import mask_number, mask_text, safe_line

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
