"""Dialects of SQL that scripts are written in: types, quoting of names, literals.

All that a script says of a run goes through here. What comes back is marked as SQL (``Markup``),
and a template refuses any other text: no name or value gets into a script unquoted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

import polars as pl
from markupsafe import Markup

from batch_screen.errors import ConfigurationError, InputError
from batch_screen.masking import safe_line
from batch_screen.schema import INSTANT
from batch_screen.warehouse import sql
from batch_screen.warehouse.columns import WarehouseColumn
from batch_screen.warehouse.sql import DUCKDB, POSTGRES, SqlTypes

SNOWFLAKE, BIGQUERY, REDSHIFT, DATABRICKS = "snowflake", "bigquery", "redshift", "databricks"

_SCHEMA = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)?")
_ESCAPED = re.compile(r"[\x00-\x1f\x7f&$%{]")
"""Signs that end a line, or by which clients of the clouds mark variables."""
_OTHERS = re.compile(r"[^A-Za-z0-9_]")
_LENGTHS = {"number_id": 32, "e164": 16, "run_id": 64, "since_run_id": 64, "endpoint": 64}
_LONGEST = 65_535


class Dialect(NamedTuple):
    """A dialect of SQL.

    ``types``: the words that load uses, for the dialects of databases that it loads. ``quote``
    stands around names; ``folded`` is what an unquoted one becomes. ``escapes``: backslashes in
    literals are escapes, ``has_unicode``: those of Unicode among them. ``stages``: what an address
    of files may begin with; ``access``: what opens them to the warehouse.
    """

    name: str
    words: Mapping[pl.DataType, str]
    types: SqlTypes | None = None
    quote: str = '"'
    folded: Callable[[str], str] = str
    escapes: bool = False
    has_unicode: bool = False
    stages: tuple[str, ...] = ()
    access: str = ""

    @property
    def has_temporary(self) -> bool:
        """Whether it has temporary tables that need no schema."""
        return self.name not in (SNOWFLAKE, DATABRICKS)

    def path(self, schema: str, name: str = "") -> Markup:
        """The schema, or a table or view in it; in clouds the schema may be two names."""
        if self.types:
            return self.exact(schema, *([name] if name else []))
        if not _SCHEMA.fullmatch(schema):
            raise ConfigurationError(
                f"--schema {safe_line(schema, 60)!r} is none in {self.name}; use letters, digits, "
                "_ and -, or two such names with a dot between"
            )
        return self.exact(*map(self.folded, [*schema.split("."), *([name] if name else [])]))

    def identifier(self, name: str) -> Markup:
        """One of our names, such that queries need no quotes around it."""
        return self.exact(self.folded(name))

    def exact(self, *names: str) -> Markup:
        """A name, or a path of names, to the letter."""
        if self.quote == '"':
            return _sql(sql.quoted(*names))
        return _sql(".".join("`{}`".format(name.replace("`", "``")) for name in names))

    def literal(self, text: str) -> Markup:
        if self.escapes:
            text = text.replace("\\", "\\\\")
        if not self.has_unicode:
            return _sql(sql.literal(text))
        text = _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
        return _sql("'{}'".format(text.replace("'", "\\'")))  # two quotes would be none in Spark

    def value(self, value: Any) -> Markup:
        """A value of the table ``runs``."""
        match value:
            case None:
                return _sql("NULL")
            case bool() | int():
                return _sql(str(value).upper())
            case datetime():
                text = self.literal(value.isoformat(" ", "microseconds"))
                return _sql(f"CAST({text} AS {self.words[INSTANT]})")
            case date():
                return _sql(f"DATE {self.literal(value.isoformat())}")
        return self.literal(str(value))

    def type_of(self, column: WarehouseColumn) -> Markup:
        word = self.words[column.dtype]
        if word == "varchar()":  # Redshift's: without a length it has 256 bytes
            word = f"varchar({_LENGTHS.get(column.name, _LONGEST)})"
        return _sql(word)

    def staged(self, columns: Sequence[WarehouseColumn]) -> list[tuple[Markup, Markup]]:
        """Names and types under which the columns of files are read.

        Raises ``InputError`` where two of them would have one name.
        """
        found: dict[str, tuple[Markup, WarehouseColumn]] = {}
        for column in columns:
            name = self._name_in_files(column)
            if (other := found.setdefault(name.lower(), (name, column)))[1] is not column:
                raise InputError(
                    f"{self.name} reads the kept columns {safe_line(other[1].source, 80)!r} and "
                    f"{safe_line(column.source, 80)!r} as one; rename one of them in the list"
                )
        return [(name, self._type_in_files(column)) for name, column in found.values()]

    def renames(self, columns: Sequence[WarehouseColumn]) -> bool:
        """Whether files have columns that BigQuery reads under other names."""
        return any(_OTHERS.search(column.source) for column in columns)

    def is_instant(self, column: WarehouseColumn) -> bool:
        return column.dtype == INSTANT

    def _name_in_files(self, column: WarehouseColumn) -> Markup:
        if self.name == SNOWFLAKE:  # which looks for columns by name
            return self.exact(column.source)
        if self.name == BIGQUERY:  # and which does, too: as its character map V1 has them
            return self.exact(_OTHERS.sub("_", column.source))
        return self.identifier(column.name)

    def _type_in_files(self, column: WarehouseColumn) -> Markup:
        # Redshift's Parquet knows no zones: these are instants of UTC.
        is_plain = self.name == REDSHIFT and self.is_instant(column)
        return _sql("timestamp") if is_plain else self.type_of(column)


def _sql(text: str) -> Markup:
    return Markup(text)  # noqa: S704 (each name and value in it is quoted)


def _words(string: str, boolean: str, integers: tuple[str, str], double: str, instant: str) -> Any:
    short, long = integers
    return {
        pl.String(): string,
        pl.Boolean(): boolean,
        pl.Int32(): short,
        pl.Int64(): long,
        pl.Float64(): double,
        INSTANT: instant,
        pl.Date(): "date",
    }


_INTEGERS = ("integer", "bigint")
DIALECTS = {
    each.name: each
    for each in (
        Dialect(
            SNOWFLAKE,
            _words(
                "varchar", "boolean", ("number(10, 0)", "number(19, 0)"), "float", "timestamp_ltz"
            ),
            folded=str.upper,
            escapes=True,
            has_unicode=True,
            stages=("@", "s3://", "gs://", "azure://"),
            access="a storage integration",
        ),
        Dialect(
            BIGQUERY,
            _words("string", "bool", ("int64", "int64"), "float64", "timestamp"),
            quote="`",
            escapes=True,
            has_unicode=True,
            stages=("gs://",),
        ),
        Dialect(
            REDSHIFT,
            _words("varchar()", "boolean", _INTEGERS, "double precision", "timestamptz"),
            escapes=True,
            stages=("s3://",),
            access="an IAM role",
        ),
        Dialect(
            DATABRICKS,
            _words("string", "boolean", ("int", "bigint"), "double", "timestamp"),
            quote="`",
            escapes=True,
            has_unicode=True,
            stages=("s3://", "gs://", "abfss://", "/Volumes/"),
        ),
        Dialect("postgres", POSTGRES.words, POSTGRES),
        Dialect("duckdb", DUCKDB.words, DUCKDB),
    )
}
"""The first four are of clouds: nothing here connects to them."""
