"""What flags, the environment and TOML write differently, read as one; and what an address is.

Each raises ``ValueError`` with a message that ends the sentence "the setting …".
"""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit


def address(value: str) -> SplitResult:
    """The parts of an address that can be connected to. Raises ``ValueError``."""
    try:
        parts = urlsplit(value)
        usable = (
            parts.scheme in ("https", "http")
            and bool(parts.hostname)
            and parts.port != 0
            and value.isprintable()
            and " " not in value
        )
        (parts.hostname or "").encode("idna")
    except ValueError:  # its text may quote a password
        usable = False
    if not usable:
        raise ValueError("must be a full http:// or https:// address")
    return parts


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # a name, and 127.example.com is one too
        return False


def list_of(value: Any) -> list[str]:
    """The names in a list, or in comma-separated text as flags and the environment give it."""
    named = [value] if isinstance(value, str) else value
    if not isinstance(named, list | tuple | set | frozenset) or not all(
        isinstance(name, str) for name in named
    ):
        raise ValueError("must be a list of names")
    return [name.strip() for names in named for name in names.split(",") if name.strip()]


def names_or_all(value: Any) -> list[str]:
    """The distinct names of ``list_of``; ``all`` is none among others."""
    found = list(dict.fromkeys(list_of(value)))
    if "all" in found and len(found) > 1:
        raise ValueError("'all' stands alone")
    return found


def table_of(value: Any) -> Any:
    """The table that an environment variable writes as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("must be a table, or JSON for one") from None
