"""A lake of each kind, empty, and what it holds, as SQL by DuckDB over its tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table
from pyiceberg.utils.config import Config

from batch_screen.runs.layout import DATA_FOLDERS
from tests.thoroughness import in_full

from .conftest import Database

EVERY = (*DATA_FOLDERS, "runs")

mostly_delta = pytest.mark.parametrize(
    "lake", ["delta", pytest.param("iceberg", marks=in_full)], indirect=True
)
"""For what one lake proves of both: what is common to them decides it."""


class LakeUnderTest(Database):
    """A lake under test: its tables can be asked as those of a database can."""

    def read(self, table: str, schema: str = "batch_screen") -> pa.Table | None:
        raise NotImplementedError

    def ask(self, query: str, schema: str = "batch_screen") -> list[tuple[Any, ...]]:
        with duckdb.connect() as db:
            db.execute("SET TimeZone = 'UTC'")
            db.execute("CREATE SCHEMA batch_screen")
            for name in EVERY:
                if (rows := self.read(name, schema)) is not None:
                    db.register(f"read_{name}", rows)
                    db.execute(f"CREATE VIEW batch_screen.{name} AS FROM read_{name}")
            return db.execute(query).fetchall()


class DeltaFolder(LakeUnderTest):
    def __init__(self, place: Path | str) -> None:
        super().__init__(f"delta:{place}", "delta")
        self.place = place

    def path(self, table: str, schema: str = "batch_screen") -> str:
        return f"{self.place}/{schema}/{table}"

    def read(self, table: str, schema: str = "batch_screen") -> pa.Table | None:
        try:
            return DeltaTable(self.path(table, schema)).to_pyarrow_table()
        except TableNotFoundError:
            return None


class IcebergNamespace(LakeUnderTest):
    def __init__(self, catalog: str) -> None:
        super().__init__(f"iceberg:{catalog}", "iceberg")
        self.catalog = catalog

    def table_of(self, name: str, schema: str = "batch_screen") -> Table:
        return load_catalog(self.catalog).load_table(f"{schema}.{name}")

    def read(self, table: str, schema: str = "batch_screen") -> pa.Table | None:
        try:
            return self.table_of(table, schema).scan().to_arrow()
        except NoSuchTableError:
            return None


@pytest.fixture
def iceberg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> IcebergNamespace:
    """A catalog in SQLite, as pyiceberg's configuration has it in the environment."""
    for name, value in {
        "TYPE": "sql",
        "URI": f"sqlite:///{tmp_path}/catalog.db",
        "WAREHOUSE": f"file://{tmp_path}/warehouse",
    }.items():
        monkeypatch.setenv(f"PYICEBERG_CATALOG__LAKE__{name}", value)
    monkeypatch.setattr("pyiceberg.catalog._ENV_CONFIG", Config())  # it is read at import
    return IcebergNamespace("lake")


@pytest.fixture
def delta(tmp_path: Path) -> DeltaFolder:
    return DeltaFolder(tmp_path / "lake")
