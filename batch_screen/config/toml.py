"""Writes values as TOML: what ``tomllib`` reads back as they were."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

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
