"""docs/reference/columns.md: every table a command writes, from ``batch_screen.schema``."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from batch_screen import schema
from batch_screen.schema import Column
from reference.markdown import code, page, table

_HEAD = """\
What stands in the files of a run, in the order of its columns; [OUTPUT.md](../../OUTPUT.md) says
where they lie and how to read them. This is version {version} of the schema; new columns come at a
table's end and raise the version.

**Null** says whether a column may be empty. In a signal, null means unknown and never "safe": the
`outcome` beside it says why ([outcomes](outcomes.md))."""

# The constant of schema.py → the table's title and a word on it. One that is not named here, and
# whose columns stand in no table that is, gets a title of its own at the end of the page.
_TABLES = {
    "results": (
        "results",
        "One row per accepted row of the input; in front of these, `in_NAME` of each kept column.",
    ),
    "LOOKUPS": ("lookups", "One row per number and endpoint."),
    "ERRORS": ("errors", "One row per rejected row and per lookup without a value."),
    "CHANGES": ("changes", "One row per number and endpoint that differs from the previous run."),
    "AUDIT_REJECTS": ("check --rejects", "One row per row that would be rejected."),
}


def columns_page() -> str:
    """The page, every table in the order of ``tables``."""
    parts = [_section(*described(name), columns) for name, columns in tables().items()]
    return page("Columns", _HEAD.format(version=schema.SCHEMA_VERSION), *parts)


def tables() -> dict[str, tuple[Column, ...]]:
    """The tables by their name in schema.py: those described here, then those that are not."""
    found = {"results": schema.results({}), **dict(_constants())}
    known = {name: found[name] for name in _TABLES}
    # Rows and outcomes are also kept as state, under the same columns.
    listed = {column.name for columns in known.values() for column in columns}
    more = {
        name: columns
        for name, columns in found.items()
        if name not in known and not {c.name for c in columns} <= listed
    }
    return {**known, **more}


def described(name: str) -> tuple[str, str]:
    """A table's title and a word on it."""
    return _TABLES.get(name, (name.lower().replace("_", " "), ""))


def type_of(column: Column) -> str:
    """A column's type in words.

    >>> type_of(Column("at", schema.INSTANT, "when")), type_of(Column("n", pl.Int32, "how many"))
    ('Datetime, UTC', 'Int32')
    """
    dtype = column.dtype() if isinstance(column.dtype, type) else column.dtype
    return "Datetime, UTC" if isinstance(dtype, pl.Datetime) else str(dtype)


def _constants() -> Iterator[tuple[str, tuple[Column, ...]]]:
    for name, value in vars(schema).items():
        is_table = isinstance(value, tuple) and value and isinstance(value[0], Column)
        if is_table and not name.startswith("_"):
            yield name, value


def _section(title: str, about: str, columns: tuple[Column, ...]) -> str:
    rows = [
        (code(c.name), type_of(c), "never" if c.required else "may be", c.meaning) for c in columns
    ]
    heads = ("Column", "Type", "Null", "Meaning")
    return "\n\n".join([f"## {title}", *([about] if about else []), table(heads, rows)])
