"""Schemas of all tables written: their columns, dtypes and meanings, in order.

Loaders by position (Redshift) and BigQuery want one order: new columns go behind the others and
raise ``SCHEMA_VERSION``, and columns kept from the input, which may differ from night to night,
come last of all. Only types that load everywhere (String, Boolean, Int32, Int64,
Float64, Date, Datetime in microseconds UTC); ``run_date`` is in the path, not in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import polars as pl

from batch_screen.model import Endpoint

SCHEMA_VERSION = 5
READ_VERSIONS = (4, SCHEMA_VERSION)
"""Of runs that this program reads. Version 4 had kept columns first, and no ``number_id``."""
INSTANT = pl.Datetime("us", "UTC")
KEPT_PREFIX = "in_"


class Column(NamedTuple):
    """One output column; ``required`` ones hold no null."""

    name: str
    dtype: pl.DataType | type[pl.DataType]
    meaning: str
    required: bool = False


def _required(name: str, dtype: pl.DataType | type[pl.DataType], meaning: str) -> Column:
    return Column(name, dtype, meaning, required=True)


ROW = (
    _required(
        "row_index",
        pl.Int64,
        "position of the row over the whole input, from 0; of several phone columns each cell is "
        "a row",
    ),
    _required("source_file", pl.String, "the input file's name"),
    _required("source_row", pl.Int64, "the row's number in that file, from 1, header not counted"),
)
PHONE_COLUMN = _required(
    "phone_column", pl.String, "the column that held the number, named as in the file"
)
NUMBER_ID = Column("number_id", pl.String, "the number's keyed id; null where e164 is plain")
"""The last contract column of every table."""
IDENTITY = (
    _required("run_id", pl.String, "the run that wrote the row"),
    *ROW,
    _required("e164", pl.String, "the number asked about, E.164"),
    Column("region", pl.String, "ISO 3166-1 alpha-2 region of the number"),
    Column("number_type", pl.String, "libphonenumber's type: mobile, fixed_line, …"),
    _required("rule", pl.String, "the rule by which the raw number was accepted"),
)
REJECT = (
    *ROW,
    Column("raw_masked", pl.String, "the cell's shape, masked"),
    Column("raw_region", pl.String, "the row's own region, as written"),
    _required("reason", pl.String, "why the row never reaches the network"),
    Column("detail", pl.String, "what was seen, masked"),
    PHONE_COLUMN,
)
_OUTCOME = "success, or why there is no value; null only if the endpoint was not asked"
_VALUES = {
    "swapped": Column("swapped", pl.Boolean, "true, false, or null: unknown"),
    "active": Column(
        "active", pl.Boolean, "unconditional forwarding: true, false, or null: unknown"
    ),
    "latest_change": Column(
        "latest_change", pl.String, "reported, none_reported (not: never), or null: unknown"
    ),
    "latest_change_at": Column(
        "latest_change_at", INSTANT, "latest change, truncated to microseconds"
    ),
}
LOOKUP = (
    _required("e164", pl.String, "the number asked about, E.164"),
    _required("endpoint", pl.String, "the endpoint asked"),
    Column(
        "max_age_minutes",
        pl.Int32,
        "the window sent or derived, in minutes; null where none is taken",
    ),
    _required("outcome", pl.String, "success, or why there is no value"),
    Column("reason", pl.String, "a closer word on the outcome"),
    *_VALUES.values(),
    Column("latest_change_raw", pl.String, "the date exactly as answered"),
    Column("http_status", pl.Int32, "the last answer's HTTP status"),
    Column("code", pl.String, "the API's error code, as answered"),
    Column("message", pl.String, "the API's error message, masked and shortened"),
    _required("attempts", pl.Int32, "HTTP requests made"),
    _required("refusals", pl.Int32, "requests among them refused for the rate"),
    Column("latency_ms", pl.Float64, "time to the last answer"),
    Column("responded_at", INSTANT, "when the last answer arrived"),
    Column("correlator", pl.String, "the x-correlator sent with the last attempt"),
    _required(
        "unanswered",
        pl.Int32,
        "requests beside attempts that a crash left without a saved answer; may have been billed",
    ),
    Column(
        "source",
        pl.String,
        "asked, derived (from the date), reused, carried (from a superseded run), or null: skipped",
    ),
    Column("source_run_id", pl.String, "reused, carried: the earlier run in which it was asked"),
    # A column, so that a gap can be checked in the files alone.
    Column(
        "last_observed_at",
        INSTANT,
        "until when earlier runs had observed the number; null: none had, or none was looked at",
    ),
)
OBSERVED = (
    Column("window_start", INSTANT, "from when on the value would show a change"),
    Column("window_end", INSTANT, "until when it would: when the answer arrived"),
    Column(
        "gap_minutes",
        pl.Int32,
        "minutes between the last observation and window_start, 0: none; null: no earlier one",
    ),
    Column(
        "contradiction",
        pl.Boolean,
        "whether check and date, both asked, cannot both be true; null where nobody can tell",
    ),
)
"""Columns of lookups that ``tables.results`` derives from a shard's outcomes."""

LOOKUPS = (
    _required("run_id", pl.String, "the run that wrote the row"),
    *LOOKUP,
    *OBSERVED,
    NUMBER_ID,
)
ERRORS = (
    _required("run_id", pl.String, "the run that wrote the row"),
    _required("kind", pl.String, "reject (a row) or failure (a lookup)"),
    Column("row_index", pl.Int64, "rejects: position of the row over the whole input, from 0"),
    Column("source_file", pl.String, "rejects: the input file's name"),
    Column("source_row", pl.Int64, "rejects: the row's number in that file, from 1"),
    Column("raw_masked", pl.String, "rejects: the cell's shape, masked"),
    Column("raw_region", pl.String, "rejects: the row's own region, as written"),
    Column("e164", pl.String, "failures: the number asked about"),
    Column("endpoint", pl.String, "failures: the endpoint asked"),
    _required("reason", pl.String, "the reject's reason or the failure's outcome"),
    Column("detail", pl.String, "what was seen, masked"),
    _required("remedy", pl.String, "what to do about it"),
    _required("retry_can_help", pl.Boolean, "whether asking again may bring an answer"),
    Column("http_status", pl.Int32, "failures: the last answer's HTTP status"),
    Column("code", pl.String, "failures: the API's error code"),
    Column("attempts", pl.Int32, "failures: HTTP requests made"),
    Column("phone_column", pl.String, "rejects: the column that held the cell, as in the file"),
    NUMBER_ID,
)


def _before_and_after(name: str, dtype: pl.DataType | type[pl.DataType]) -> tuple[Column, Column]:
    return (
        Column(f"before_{name}", dtype, f"{name} in the earlier run"),
        Column(f"after_{name}", dtype, f"{name} in this run"),
    )


CHANGES = (
    _required("run_id", pl.String, "the run that wrote the row"),
    _required("since_run_id", pl.String, "the earlier run it is compared with"),
    _required("e164", pl.String, "the number asked about, E.164"),
    _required("endpoint", pl.String, "the endpoint asked"),
    _required("change", pl.String, "what is different since the earlier run"),
    *(
        column._replace(required=column.name.endswith("_outcome"))
        for name, dtype in (
            ("outcome", pl.String),
            ("swapped", pl.Boolean),
            ("active", pl.Boolean),
            ("latest_change_at", INSTANT),
            ("responded_at", INSTANT),
        )
        for column in _before_and_after(name, dtype)
    ),
    Column("cohort", pl.String, "the marked block or country the number lies in, or null"),
    _required(
        "likely_migration", pl.Boolean, "whether the change is part of that cohort's sudden rise"
    ),
    NUMBER_ID,
)
RISK = (
    Column(
        "sim_change_age_hours",
        pl.Float64,
        "age of the latest SIM change when its date was answered",
    ),
    Column("sim_change_age_band", pl.String, "that age's band, from <4h to 3y+"),
    Column(
        "device_change_age_hours",
        pl.Float64,
        "age of the latest device change when its date was answered",
    ),
    Column("device_change_age_band", pl.String, "that age's band, from <4h to 3y+"),
    Column(
        "risk_sim_and_device_recent",
        pl.Boolean,
        "whether both changed lately: true, false, or null: unknown",
    ),
    Column(
        "risk_sim_recent",
        pl.Boolean,
        "whether the SIM changed lately: true, false, or null: unknown",
    ),
    Column(
        "risk_device_recent",
        pl.Boolean,
        "whether the device changed lately: true, false, or null: unknown",
    ),
    Column(
        "risk_forwarding_active",
        pl.Boolean,
        "whether all calls are forwarded: true, false, or null: unknown",
    ),
    _required("risk_version", pl.Int32, "the version of the rules for the age and risk columns"),
)
_OF_SHEETS = {
    column.name: column
    for column in (
        *IDENTITY,
        *REJECT,
        _required(
            "line",
            pl.Int64,
            "the row's line in a spreadsheet; blank lines between rows are not counted",
        ),
        _required("column", pl.String, "the column of the number"),
        _required("why", pl.String, "the signals that deserve a look; or why nobody can say"),
        Column("since", pl.String, "of each signal in turn: its date, or the bound that is known"),
        Column("cell", pl.String, "the cell as it stands in the list; else its shape, masked"),
        _required("remedy", pl.String, "what to do about it"),
    )
}


def _sheet(names: str) -> tuple[Column, ...]:
    return tuple(_OF_SHEETS[name] for name in names.split())


CHECK_REJECTS = _sheet("source_file source_row column reason raw_masked raw_region detail remedy")
EXPORT_FLAGGED = _sheet("source_file source_row line e164 region why since column")
EXPORT_REJECTED = _sheet("source_file source_row line column cell raw_region reason detail remedy")

RUNS = (
    _required("run_id", pl.String, "the run"),
    _required("run_date", pl.Date, "its date"),
    Column("started_at", INSTANT, "when its first start began"),
    _required("completed_at", INSTANT, "when its files were complete"),
    _required(
        "current",
        pl.Boolean,
        "whether it is the last complete run of its date and inputs, and none supersedes it",
    ),
    _required("sandbox", pl.Boolean, "whether its answers are the sandbox's, not real ones"),
    _required("manifest_sha256", pl.String, "SHA-256 of its manifest.json"),
    _required("schema_version", pl.Int32, "version of its columns"),
    _required("version", pl.String, "the batch-screen that wrote it"),
    Column("api_host", pl.String, "host of the server that was asked"),
    Column("api_dialect", pl.String, "that server's contract"),
    Column("since_run_id", pl.String, "the run that its changes are counted from"),
    _required("supersedes", pl.String, "the runs that it replaces, with blanks between"),
    _required("inputs", pl.String, "SHA-256 of each input file, with blanks between"),
    _required("limit_numbers", pl.Int64, "how many numbers a trial took at most; 0: all"),
    _required("results", pl.Int64, "rows of results"),
    _required("lookups", pl.Int64, "rows of lookups"),
    _required("errors", pl.Int64, "rows of errors"),
    _required("changes", pl.Int64, "rows of changes"),
    Column("rows_read", pl.Int64, "rows of the input"),
    Column("rows_rejected", pl.Int64, "rows among them that never reached the network"),
    Column("failed", pl.Int64, "lookups that failed"),
)

PURGED_RUNS = (
    _required("run_id", pl.String, "the run"),
    _required("run_date", pl.Date, "its date"),
    _required("purged_at", INSTANT, "when purge removed it"),
    Column("manifest_sha256", pl.String, "SHA-256 that its manifest.json had"),
    Column("results", pl.Int64, "rows that it had of results"),
    Column("lookups", pl.Int64, "rows that it had of lookups"),
    Column("errors", pl.Int64, "rows that it had of errors"),
    Column("changes", pl.Int64, "rows that it had of changes"),
)


def endpoint_group(endpoint: Endpoint) -> dict[str, Column]:
    """An endpoint's value columns in results: the lookups column → the results column."""
    if endpoint.answers_date:
        wanted = [_VALUES["latest_change"], _VALUES["latest_change_at"]]
    elif endpoint.takes_max_age:
        wanted = [_VALUES["swapped"], LOOKUP[2]]
    else:
        wanted = [_VALUES["active"]]
    group = [
        Column("outcome", pl.String, _OUTCOME),
        *wanted,
        Column("responded_at", INSTANT, "when the answer arrived"),
    ]
    return {c.name: c._replace(name=f"{endpoint.column}_{c.name}") for c in group}


def provenance_group(endpoint: Endpoint) -> dict[str, Column]:
    """An endpoint's provenance columns in results: the lookups column → the results column."""
    named = {column.name: column for column in (*LOOKUP, *OBSERVED)}
    windows = ("window_start", "window_end", "gap_minutes") if endpoint.takes_max_age else ()
    group = [named[name] for name in ("source", *windows)]
    return {c.name: c._replace(name=f"{endpoint.column}_{c.name}") for c in group}


def contradiction_group(endpoint: Endpoint) -> dict[str, Column]:
    """The column of results for contradictions between a check and its date."""
    if not endpoint.takes_max_age:
        return {}
    [column] = (c for c in OBSERVED if c.name == "contradiction")
    signal = endpoint.column.removesuffix("_check")
    return {column.name: column._replace(name=f"{signal}_contradiction")}


def results_groups(endpoint: Endpoint) -> dict[str, Column]:
    """All columns of results that an endpoint fills: the lookups column → the results column."""
    return endpoint_group(endpoint) | provenance_group(endpoint) | contradiction_group(endpoint)


def results(kept: Mapping[str, pl.DataType]) -> tuple[Column, ...]:
    """Columns of results: identity, a group per endpoint, risk, phone column, id, kept ones."""
    inputs = [Column(name, dtype, "kept from the input") for name, dtype in kept.items()]
    # All values before all provenance: that is newer, and new columns go behind.
    kinds = (endpoint_group, provenance_group, contradiction_group)
    groups = [column for kind in kinds for e in Endpoint for column in kind(e).values()]
    return (*IDENTITY, *groups, *RISK, PHONE_COLUMN, NUMBER_ID, *inputs)


def number_column(id_key: str | None) -> str:
    """The column by which a run's tables are keyed: the number, or its id by a key.

    >>> number_column(None), number_column("8ed2d54a")
    ('e164', 'number_id')
    """
    return NUMBER_ID.name if id_key else "e164"


def keyed_by(columns: tuple[Column, ...], id_key: str | None) -> tuple[Column, ...]:
    """The columns where ids by a key stand for numbers: they are required then, no number is."""
    if not id_key:
        return columns
    required = {c.name: c.required for c in columns}
    swapped = {"e164": False, NUMBER_ID.name: required.get("e164", False)}
    return tuple(c._replace(required=swapped.get(c.name, c.required)) for c in columns)


def of_version(columns: tuple[Column, ...], version: int) -> tuple[Column, ...]:
    """The columns of a table as this version of the schema had them, in its order."""
    if version >= SCHEMA_VERSION:
        return columns
    kept = [column for column in columns if column.name.startswith(KEPT_PREFIX)]
    return (*kept, *(c for c in columns if c not in kept and c != NUMBER_ID))


def dtypes(columns: tuple[Column, ...]) -> pl.Schema:
    """The polars schema of the columns."""
    return pl.Schema({c.name: c.dtype for c in columns})


def conform(frame: pl.DataFrame, columns: tuple[Column, ...]) -> pl.DataFrame:
    """The frame cast to these columns, in their order; missing ones become null."""
    missing = [pl.lit(None, c.dtype).alias(c.name) for c in columns if c.name not in frame.columns]
    return frame.with_columns(missing).select(pl.col(c.name).cast(c.dtype) for c in columns)
