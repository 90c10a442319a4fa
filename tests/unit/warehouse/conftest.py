"""A database of each kind, empty, and what it holds as frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import psycopg
import pytest

from tests.postgres_server import postgres_server
from tests.thoroughness import in_full

_SERIAL = count()
PASSWORD = "hunter2-secret"

mostly_postgres = pytest.mark.parametrize(
    "database", ["postgres", pytest.param("duckdb", marks=in_full)], indirect=True
)
"""For what one database proves of both: what is common to them decides it."""

mostly_duckdb = pytest.mark.parametrize(
    "database", [pytest.param("postgres", marks=in_full), "duckdb"], indirect=True
)


class Database:
    """A database under test: its address for ``--to``, and a way to ask it."""

    def __init__(self, to: str, kind: str) -> None:
        self.to = to
        self.kind = kind

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    def do(self, *statements: str) -> None:
        raise NotImplementedError

    def table(self, name: str, schema: pl.Schema) -> pl.DataFrame:
        """The rows of a table, or of a query, in these columns."""
        columns = ", ".join(f'"{column}"' for column in schema.names())
        rows = self.ask(f"SELECT {columns} FROM batch_screen.{name}")
        return pl.DataFrame(rows, schema=schema, orient="row")

    def counts(self, tables: Sequence[str]) -> list[int]:
        return [self.ask(f"SELECT count(*) FROM batch_screen.{name}")[0][0] for name in tables]


class PostgresDatabase(Database):
    def __init__(self, host: str, name: str) -> None:
        super().__init__(f"postgresql://loader@/{name}?host={host}", "postgres")
        self.name = name
        self.host = host

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.to, autocommit=True, options="-c timezone=UTC -c datestyle=ISO")

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with self.connect() as db:
            return db.execute(query.encode()).fetchall()

    def do(self, *statements: str) -> None:
        with self.connect() as db:
            for statement in statements:
                db.execute(statement.encode())

    def as_role(self, role: str) -> str:
        return self.to.replace("loader@", f"{role}@")


class DuckDBFile(Database):
    def __init__(self, path: Path) -> None:
        super().__init__(f"duckdb:{path}", "duckdb")
        self.path = path

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(self.path) as db:
            db.execute("SET TimeZone = 'UTC'")
            return db.execute(query).fetchall()

    def do(self, *statements: str) -> None:
        with duckdb.connect(self.path) as db:
            for statement in statements:
                db.execute(statement)


@pytest.fixture(scope="session")
def postgres_host() -> Iterator[str]:
    with postgres_server(password=PASSWORD) as server:
        yield server["PGHOST"]


@pytest.fixture
def postgres(postgres_host: str) -> PostgresDatabase:
    first = PostgresDatabase(postgres_host, "postgres")
    name = f"wh{next(_SERIAL)}"
    first.do(f"CREATE DATABASE {name}")
    return PostgresDatabase(postgres_host, name)


@pytest.fixture
def duck(tmp_path: Path) -> DuckDBFile:
    return DuckDBFile(tmp_path / "warehouse.duckdb")


@pytest.fixture(params=["postgres", "duckdb"])
def database(request: pytest.FixtureRequest) -> Database:
    found: Database = request.getfixturevalue("duck" if request.param == "duckdb" else "postgres")
    return found
