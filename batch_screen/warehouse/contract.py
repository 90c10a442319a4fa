"""A data contract of the tables: ODCS 3.1, from the objects that write and load them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from batch_screen.model import AnswerSource, Endpoint, LatestChange, OutcomeKind
from batch_screen.numbers.rules import RejectReason
from batch_screen.runs.layout import CHANGES, DATA_FOLDERS, ERRORS, LOOKUPS, RESULTS
from batch_screen.schema import (
    INSTANT,
    NUMBER_ID,
    SCHEMA_VERSION,
    dtypes,
    endpoint_group,
    number_column,
)
from batch_screen.tables.coverage import Change
from batch_screen.tables.manifest import table_columns as contract_columns
from batch_screen.tables.results import NAMES as BANDS
from batch_screen.warehouse.columns import (
    COMMENTS,
    KEYS,
    RUN_COLUMNS,
    RUN_DATE,
    RUNS,
    WarehouseColumn,
    table_columns,
)

FRESH_HOURS = 26
"""A night and two hours."""

_TYPES: dict[pl.DataType, tuple[str, str]] = {
    pl.String(): ("string", "text"),
    pl.Boolean(): ("boolean", "boolean"),
    pl.Int32(): ("integer", "integer"),
    pl.Int64(): ("integer", "bigint"),
    pl.Float64(): ("number", "double"),
    INSTANT: ("timestamp", "timestamp_tz"),  # by its name in SQL it becomes None on export
    pl.Date(): ("date", "date"),
}
_ENDPOINTS, _OUTCOMES = [*map(str, Endpoint)], [*map(str, OutcomeKind)]
_VALUES: dict[str, list[str]] = {
    "endpoint": _ENDPOINTS,
    "outcome": _OUTCOMES,
    "latest_change": [*map(str, LatestChange)],
    "source": [*map(str, AnswerSource)],
    "age_band": [*BANDS],
    "change": [*map(str, Change)],
    "kind": ["reject", "failure"],
}
"""What columns hold whose names these are, or end with them behind an underscore."""


class Dataset(NamedTuple):
    """What a contract is of.

    ``kept`` are the columns kept from the input; ``id_key`` names the key whose ids stand for
    numbers. ``is_loaded``: the tables as ``load`` makes them, ``runs`` among them, not the files.
    """

    kept: Mapping[str, pl.DataType]
    id_key: str | None = None
    is_loaded: bool = False


def contract(dataset: Dataset, server: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The contract in the order of its standard; ``server`` says where the tables are."""
    made: dict[str, Any] = {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": "batch-screen",
        "name": "batch-screen",
        "version": f"{SCHEMA_VERSION}.0.0",
        "status": "active",
        "description": {
            "purpose": "Fraud signals of a mobile network for the numbers of customer lists.",
            "usage": (
                "Only a run that is in runs is there. Join by name and run_id."
                if dataset.is_loaded
                else "Only a run with its runs/RUN_ID/_SUCCESS is there. Join by name and run_id."
            ),
            "limitations": (
                "Null is unknown and never false. New values and columns come with a new version."
            ),
        },
    }
    if server:
        made["servers"] = [dict(server)]
    names = (RUNS, *DATA_FOLDERS) if dataset.is_loaded else DATA_FOLDERS
    made["schema"] = [_table(dataset, name) for name in names]
    if dataset.is_loaded:
        made["slaProperties"] = [
            {
                "property": "freshness",
                "value": FRESH_HOURS,
                "unit": "h",
                "element": f"{RUNS}.loaded_at",
                "driver": "operational",
                "description": "A run of every night is loaded by the next morning.",
            }
        ]
    return made


def _table(dataset: Dataset, name: str) -> dict[str, Any]:
    key = [number_column(dataset.id_key) if c == "e164" else c for c in KEYS[name]]
    quality = [_unique(key)] if key else []
    return {
        "name": name,
        "physicalName": name,
        "logicalType": "object",
        "physicalType": "table" if dataset.is_loaded else "file",
        "description": COMMENTS[name],
        "properties": [_property(dataset, name, c, key) for c in _columns(dataset, name)],
        "quality": [*quality, *_rules(dataset, name)],
    }


def _columns(dataset: Dataset, name: str) -> Sequence[WarehouseColumn]:
    if name == RUNS:
        return RUN_COLUMNS
    contract = contract_columns(dataset.kept, id_key=dataset.id_key)[name]
    columns = table_columns(contract, dict(dtypes(contract)))
    if dataset.is_loaded:
        return columns
    return [column._replace(name=column.source or column.name) for column in columns]


def _property(
    dataset: Dataset, table: str, column: WarehouseColumn, key: Sequence[str]
) -> dict[str, Any]:
    logical, physical = _TYPES[column.dtype]
    found: dict[str, Any] = {
        "name": column.name,
        "logicalType": logical,
        "physicalType": physical,
        "description": column.comment,
        "required": column.required or column.name in key,
    }
    if column.name in key:
        found |= {"primaryKey": True, "primaryKeyPosition": key.index(column.name) + 1}
    if column.name == RUN_DATE.name and not dataset.is_loaded:
        found |= {"partitioned": True, "partitionKeyPosition": 1}  # in the path alone
    if column.is_kept or column.name in ("e164", NUMBER_ID.name):
        found["classification"] = "restricted"
    if values := _values(table, column):
        found["quality"] = [
            {
                "type": "library",
                "metric": "invalidValues",
                "arguments": {"validValues": values},
                "mustBe": 0,
                "dimension": "conformity",
            }
        ]
    return found


def _values(table: str, column: WarehouseColumn) -> list[str]:
    """What a column of text may hold beside null, if that can be listed."""
    if column.is_kept or column.dtype != pl.String():
        return []
    if (table, column.name) == (ERRORS, "reason"):
        return [*map(str, RejectReason), *_OUTCOMES]
    for name, values in _VALUES.items():
        if column.name == name or column.name.endswith(f"_{name}"):
            return values
    return []


def _unique(key: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "library",
        "metric": "duplicateValues",
        "arguments": {"properties": [*key]},
        "mustBe": 0,
        "dimension": "uniqueness",
        "description": "The key.",
    }


def _rules(dataset: Dataset, name: str) -> Iterator[dict[str, Any]]:
    if name == RUNS:
        yield _rule(
            "A run has as many rows as it says, unless somebody was erased from it. Failures are "
            "also answers that say neither yes nor no, which it does not count as failed.",
            "consistency",
            "SELECT count(*) FROM runs AS r WHERE coalesce(r.erased_rows, 0) = 0 AND ("
            "r.rows_accepted <> (SELECT count(*) FROM results AS t WHERE t.run_id = r.run_id)"
            " OR r.lookups <> (SELECT count(*) FROM lookups AS t WHERE t.run_id = r.run_id)"
            " OR r.rows_rejected <> (SELECT count(*) FROM errors AS t"
            " WHERE t.run_id = r.run_id AND t.kind = 'reject')"
            " OR r.failed > (SELECT count(*) FROM errors AS t"
            " WHERE t.run_id = r.run_id AND t.kind = 'failure'))",
        )
    if name == RESULTS:
        yield _rule(
            "A row of the list is accepted or rejected, and never both.",
            "consistency",
            "SELECT count(*) FROM results AS t JOIN errors AS e ON e.run_id = t.run_id"
            " AND e.row_index = t.row_index WHERE e.kind = 'reject'",
        )
        number = number_column(dataset.id_key)
        yield _rule(
            "Every number of results has its lookups.",
            "completeness",
            "SELECT count(*) FROM results AS t WHERE NOT EXISTS (SELECT 1 FROM lookups AS l"
            f" WHERE l.run_id = t.run_id AND l.{number} = t.{number})",
        )
        for endpoint in Endpoint:
            group = endpoint_group(endpoint)
            [value] = (group[c].name for c in ("swapped", "active", "latest_change") if c in group)
            yield _known(RESULTS, group["outcome"].name, value)
    if name == LOOKUPS:
        yield _known(
            LOOKUPS,
            "outcome",
            "coalesce(cast(swapped AS varchar), cast(active AS varchar), latest_change)",
        )
    if name == CHANGES:
        yield _rule(
            "What has changed is a lookup of this run.",
            "consistency",
            "SELECT count(*) FROM changes AS t WHERE NOT EXISTS (SELECT 1 FROM lookups AS l"
            " WHERE l.run_id = t.run_id AND l.endpoint = t.endpoint"
            f" AND l.{number_column(dataset.id_key)} = t.{number_column(dataset.id_key)})",
        )


def _known(table: str, outcome: str, value: str) -> dict[str, Any]:
    """Unknown is never counted as false: a value is there where the outcome is success alone."""
    return _rule(
        f"{outcome} is success where there is a value, and only there: null is unknown.",
        "accuracy",
        f"SELECT count(*) FROM {table} WHERE coalesce({outcome} = 'success', false) <> "
        f"({value} IS NOT NULL)",
    )


def _rule(description: str, dimension: str, query: str) -> dict[str, Any]:
    return {
        "type": "sql",
        "description": description,
        "dimension": dimension,
        "query": query,
        "mustBe": 0,
    }
