"""Contract: what the tables hold, promise and mean, in one file for the tools of data teams."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import polars as pl
import yaml

from batch_screen.errors import ConfigurationError, no_input
from batch_screen.masking import safe_text
from batch_screen.runs.layout import RESULTS, layout_of_run, place_of, runs_at
from batch_screen.schema import KEPT_PREFIX
from batch_screen.tables.manifest import read_facts
from batch_screen.tables.reader import columns_of
from batch_screen.warehouse.address import dataset, parse
from batch_screen.warehouse.contract import Dataset
from batch_screen.warehouse.contract import contract as made_of
from batch_screen.warehouse.runs import unchanged
from batch_screen.warehouse.target import SCHEMA


def contract(
    folder: Path | str | None = None, server: str | None = None, *, schema: str = SCHEMA
) -> dict[str, Any]:
    """The contract of an output folder's files, or of a run's own, as ODCS has it.

    ``server`` is what load takes as ``to``, and makes it the contract of what load fills there.
    Without a folder it has no kept columns, and numbers are plain. Raises ``InputError`` where
    there is no complete run, and ``ConfigurationError`` over the server.
    """
    place = _server(server, schema) if server else None
    if folder is None:
        return made_of(Dataset({}, is_loaded=server is not None), place)
    path = Path(folder)
    out, run_id = place_of(path)
    kept: dict[str, pl.DataType] = {}
    id_key = None
    layouts = [layout_of_run(out, each) for each in runs_at(path)]
    complete = [each for each in layouts if each.is_marked]
    if not complete:
        raise no_input(f"{safe_text(str(folder))}: no run there is complete; wait for one")
    for layout in complete:
        if (facts := read_facts(layout)) is None:
            continue  # damaged, as batch-screen runs says
        id_key = facts.id_key
        for file in [file for file in facts.files if file.table == RESULTS][:1]:
            with unchanged(file.path):
                found = columns_of(out / file.path)
            kept |= {n: dtype for n, dtype in found.items() if n.startswith(KEPT_PREFIX)}
    if place is None:
        name = f"{run_id}-?????" if run_id else "*"  # not those of a run whose id goes on
        files = f"{out.absolute()}/{{model}}/run_date=*/{name}.parquet"
        place = {"server": "files", "type": "local", "path": files, "format": "parquet"}
    return made_of(Dataset(kept, id_key, is_loaded=server is not None), place)


def as_yaml(made: dict[str, Any]) -> str:
    """The contract as a file."""
    return str(yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=100))


def _server(to: str, schema: str, environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The warehouse as the standard names it: no user, and no secret."""
    address = parse(to)
    if address.kind == "duckdb":
        database = str(Path(address.text).absolute())
        return {"server": "warehouse", "type": "duckdb", "database": database, "schema": schema}
    if address.kind != "postgres":
        raise ConfigurationError(
            f"--server {address.shown}: contracts are for files, PostgreSQL and DuckDB; leave "
            "--server out, and put the place into the file by hand"
        )
    namespace, tables = dataset(address, schema, environment)
    place = urlsplit(namespace)
    return {
        "server": "warehouse",
        "type": "postgres",
        "host": place.hostname or "localhost",
        "port": place.port or 5432,
        "database": tables.removesuffix(f".{schema}."),
        "schema": schema,
    }
