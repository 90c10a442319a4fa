"""A PostgreSQL server of our own for tests, on a socket in its folder alone."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

_PROGRAMS = ("initdb", "pg_ctl", "psql")


@contextmanager
def postgres_server(*, password: str = "") -> Iterator[dict[str, str]]:
    """Starts a server and ends it; yields what libpq reads from the environment to reach it.

    ``password``: the role ``guarded`` has it and must give it; all others are trusted.
    """
    programs = os.pathsep.join(
        [os.environ["PATH"], *map(str, Path("/usr/lib/postgresql").glob("*/bin"))]  # as in Debian
    )
    found = {name: shutil.which(name, path=programs) for name in _PROGRAMS}
    is_root = os.geteuid() == 0
    if not all(found.values()):
        _without("PostgreSQL is not installed here: initdb, pg_ctl and psql are needed")
    if is_root and "postgres" not in {user.pw_name for user in pwd.getpwall()}:
        _without("PostgreSQL does not start as root, and there is no user postgres")
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # a socket's path is short
        user: dict[str, Any] = {"user": "postgres"} if is_root else {}
        if is_root:
            shutil.chown(name, "postgres")
        data = f"{name}/data"

        def do(program: str, *more: str) -> None:
            command = [str(found[program]), *more]
            subprocess.run(command, check=True, capture_output=True, cwd=name, **user)

        do("initdb", "-D", data, "-U", "loader", "-A", "trust", "-E", "UTF8", "--no-sync")
        if password:
            hba = Path(data) / "pg_hba.conf"
            hba.write_text(f"local all guarded scram-sha-256\n{hba.read_text()}")
        how = f"-k {name} -c listen_addresses= -c fsync=off -c timezone=Europe/Berlin"
        do("pg_ctl", "-D", data, "-o", how, "-l", f"{name}/log", "-w", "start")
        environment = {"PGHOST": name, "PGUSER": "loader", "PGDATABASE": "postgres"}
        try:
            if password:
                made = f"CREATE ROLE guarded LOGIN PASSWORD '{password}'"
                do("psql", "-X", "-q", "-h", name, "-U", "loader", "-d", "postgres", "-c", made)
            yield environment
        finally:
            do("pg_ctl", "-D", data, "-m", "immediate", "stop")


def _without(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
