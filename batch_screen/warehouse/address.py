"""The address of a warehouse, as ``--to`` has it: which target it is, and no secret in it.

Passwords come from where the drivers look for them (a password file, a service file, the cloud's
own chain), never from an argument, which every process of the machine can read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from batch_screen.errors import ConfigurationError
from batch_screen.masking import safe_line
from batch_screen.warehouse.target import SCHEMA, Target

_KINDS = {
    "postgresql": "postgres",
    "postgres": "postgres",
    "duckdb": "duckdb",
    "delta": "delta",
    "iceberg": "iceberg",
}
"""Scheme → the module of the target, which is also the name of its extra."""

_FORMS = (
    "postgresql://user@host/database, duckdb:FILE, delta:FOLDER, delta:s3://bucket/folder, or "
    "iceberg:CATALOG.NAMESPACE"
)
_SECRETS = re.compile(r"pass|secret|token|signature|credential|key$", re.IGNORECASE)
_FILES = {"sslkey", "passfile"}  # libpq's parameters that name a file
_LONGEST_SCHEMA = 63


class Address(NamedTuple):
    """Where to load to: the target's module, the text for its driver, and one for people."""

    kind: str
    text: str
    shown: str


def parse(target: str) -> Address:
    """The address. Raises ``ConfigurationError`` where it is none, or holds a secret.

    >>> parse("duckdb:warehouse.duckdb").kind, parse("postgresql://me@db/wh").shown
    ('duckdb', 'postgresql://me@db/wh')
    """
    scheme, colon, rest = target.partition(":")
    kind = _KINDS.get(scheme.lower()) if colon else None
    is_whole = rest.startswith("//") if kind == "postgres" else bool(rest.strip("/ "))
    if kind is None or not is_whole:
        raise ConfigurationError(f"--to {_shown(target)!r} is no warehouse: write {_FORMS}")
    address = rest if kind in ("delta", "iceberg") else target
    if "://" in address:
        _refuse_secrets(address)
    return Address(kind, f"postgresql:{rest}" if kind == "postgres" else rest, _shown(target))


def dataset(address: Address, schema: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """What OpenLineage calls the tables there: their namespace, and what stands before each name.

    As other tools call them, so that their graphs and ours meet.

    >>> dataset(parse("postgresql://me@db/wh"), "batch_screen", {})
    ('postgres://db:5432', 'wh.batch_screen.')
    """
    text = address.text
    if address.kind == "postgres":
        parts = urlsplit(text)
        given = dict(parse_qsl(parts.query))
        host = parts.hostname or given.get("host") or environment.get("PGHOST", "")
        host = "localhost" if not host or host.startswith("/") else host  # a socket's folder
        port = parts.port or given.get("port") or environment.get("PGPORT", "5432")
        user = parts.username or environment.get("PGUSER", "")
        name = parts.path.strip("/") or given.get("dbname") or environment.get("PGDATABASE", user)
        return f"postgres://{safe_line(host)}:{port}", safe_line(f"{name}.{schema}.")
    if address.kind == "iceberg":
        catalog, _, namespace = text.partition(".")
        return f"iceberg://{safe_line(catalog)}", safe_line(f"{namespace or schema}.")
    if "://" in text:
        parts = urlsplit(text)
        bucket = f"{parts.scheme}://{safe_line(parts.netloc.rpartition('@')[2])}"
        return bucket, safe_line(f"{parts.path.strip('/')}/{schema}/", 1_000)
    path = Path(text).absolute()
    if address.kind == "delta":
        return "file", safe_line(f"{path}/{schema}/", 1_000)
    return f"duckdb://{safe_line(str(path), 1_000)}", safe_line(f"{path.stem}.{schema}.")


def open_target(
    address: Address, schema: str = SCHEMA, *, creates: bool = True, lock_seconds: float = 30.0
) -> Target:
    """The target, open. Raises ``ConfigurationError`` where its driver is not installed.

    ``creates`` False: a file or folder that is missing is not made, and counts as an empty one.
    ``lock_seconds``: how long others that hold a table, or the file, are waited for.
    """
    if not schema or "\0" in schema or len(schema.encode()) > _LONGEST_SCHEMA:
        raise ConfigurationError("--schema must be a name of 1 to 63 bytes")
    try:
        module = import_module(f"batch_screen.warehouse.{address.kind}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("batch_screen"):
            raise
        raise ConfigurationError(
            f"{address.kind} needs {error.name}, which is not installed: "
            f"pip install 'batch-screen[{address.kind}]'"
        ) from None
    return cast("Target", module.connect(address, schema, lock_seconds, creates=creates))


def _refuse_secrets(address: str) -> None:
    try:
        parts = urlsplit(address)
        secret = parts.password is not None or ":" in _user(address.partition("://")[2])
        given = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        raise ConfigurationError(
            f"--to {_shown(address)!r} cannot be read: write {_FORMS}"
        ) from None
    named = [name for name, _ in given if _SECRETS.search(name) and name not in _FILES]
    if secret or named:
        raise ConfigurationError(
            "--to holds a password or another secret, which others on this machine could read: "
            "leave it out, and use ~/.pgpass (PGPASSFILE), a service file (PGSERVICEFILE), a "
            "certificate, or the cloud's own credentials"
        )


def _user(rest: str) -> str:
    """What stands before the host, with the @: libpq, too, lets a password hold ? and #."""
    if found := re.match(r"[^/@]*@", rest):
        return found[0]
    return rest[: rest.partition("?")[0].rfind("@") + 1]


def _shown(target: str) -> str:
    """The address for people: without user's password and query, masked."""
    scheme, colon, rest = target.partition("://")
    if not colon:
        kind = target.partition(":")[0]
        is_path = _KINDS.get(kind.lower(), "postgres") != "postgres" or not re.search(
            "[@=]", target
        )
        return safe_line(target.partition("?")[0] if is_path else "…")
    user = _user(rest)
    name = re.split("[:/?#@]", unquote(user))[0]
    where = rest[len(user) :].partition("?")[0]
    return safe_line(f"{scheme}://{name}{'@' if user else ''}{where}")
