"""Columns as a warehouse has them: names, types, keys and comments; which other types will do.

Contract columns keep their names. Columns kept from the input may be called anything in a list, so
theirs become lower snake case, and the comment has the name in the list.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from datetime import date
from hashlib import sha256
from typing import NamedTuple

import polars as pl

from batch_screen.errors import InputError
from batch_screen.masking import safe_line
from batch_screen.runs.layout import CHANGES, DATA_FOLDERS, ERRORS, LOOKUPS, RESULTS
from batch_screen.schema import INSTANT, KEPT_PREFIX, Column

RUNS = "runs"
LOADED_TABLES = "loaded_tables"
ALL_TABLES = (*DATA_FOLDERS, RUNS)

COMMENTS = {
    RESULTS: "batch-screen: an accepted row of the list, with all answers to its number",
    LOOKUPS: "batch-screen: one number at one endpoint, with all that is known of the answer",
    ERRORS: "batch-screen: a rejected row of the list, or a lookup without success",
    CHANGES: "batch-screen: a number that answers otherwise than in the run before; an alert feed",
    RUNS: "batch-screen: the runs that are loaded whole; rows of any other run do not count",
}
KEYS: dict[str, tuple[str, ...]] = {
    RESULTS: ("run_id", "row_index"),
    LOOKUPS: ("run_id", "e164", "endpoint"),
    ERRORS: (),  # rejects have no number, failures no row
    CHANGES: ("run_id", "e164", "endpoint"),
    RUNS: ("run_id",),
}
INDEXED = ("run_date", "e164")
"""Columns that every table but ``runs`` has an index on, where the target has indexes."""


def keyed(names: Sequence[str], number: str) -> tuple[str, ...]:
    """The columns of a key or an index, of tables keyed by ``number``.

    >>> keyed(KEYS["changes"], "number_id")
    ('run_id', 'number_id', 'endpoint')
    """
    return tuple(number if name == "e164" else name for name in names)


_LONGEST_NAME = 63  # bytes: PostgreSQL cuts longer ones without a word
_DIGEST = 8
_OTHERS = re.compile(r"[^a-z0-9]+")


class WarehouseColumn(NamedTuple):
    """A column of a table in the warehouse; ``source`` is its name in the Parquet files.

    ``source`` is empty for ``run_date``, which is in the path alone; ``required`` ones hold no
    null.
    """

    name: str
    source: str
    dtype: pl.DataType
    comment: str
    required: bool = False

    @property
    def is_kept(self) -> bool:
        return self.source.startswith(KEPT_PREFIX)


RUN_DATE = WarehouseColumn("run_date", "", pl.Date(), "the logical date of the run", required=True)
RUN_COLUMNS = tuple(
    WarehouseColumn(name, name, dtype, comment, required)
    for name, dtype, comment, required in (
        ("run_id", pl.String(), "the run", True),
        ("run_date", pl.Date(), "its logical date", True),
        ("started_at", INSTANT, "when it was begun", False),
        ("completed_at", INSTANT, "when its files were complete", False),
        ("loaded_at", INSTANT, "when it was loaded here", True),
        ("schema_version", pl.Int32(), "version of the columns it was written with", True),
        ("version", pl.String(), "version of batch-screen that wrote it", False),
        ("sandbox", pl.Boolean(), "whether its answers are made up by the sandbox", True),
        ("api", pl.String(), "host and contract of the server that was asked", False),
        ("manifest_sha256", pl.String(), "SHA-256 of its manifest.json, as _SUCCESS has it", True),
        ("since_run_id", pl.String(), "the run that its changes are counted from", False),
        ("inputs", pl.String(), "digest of its lists, limit and api: the same for the same", True),
        ("rows_read", pl.Int64(), "rows of the list", False),
        ("rows_accepted", pl.Int64(), "rows among them with a number that was asked about", False),
        ("rows_rejected", pl.Int64(), "rows among them that were never asked about", False),
        ("lookups", pl.Int64(), "numbers by endpoints", False),
        ("failed", pl.Int64(), "lookups among them without an answer", False),
        ("erased_rows", pl.Int64(), "rows that were erased from it on a person's request", False),
        ("supersedes", pl.String(), "runs it replaces as a retry, with blanks between", False),
        (LOADED_TABLES, pl.String(), "its tables that are here, with blanks between", False),
    )
)
"""The columns of ``runs``: ``LoadableRun.row`` has the values, but for ``loaded_at``."""


def table_columns(
    contract: Sequence[Column], dtypes: dict[str, pl.DataType]
) -> tuple[WarehouseColumn, ...]:
    """The warehouse's columns of a table whose files have these, ``run_date`` first.

    Raises ``InputError`` where two kept columns would have one name.
    """
    known = {column.name: column for column in contract}
    columns, sources = [RUN_DATE], dict[str, str]()
    for source, dtype in dtypes.items():
        name = source
        if source.startswith(KEPT_PREFIX):
            name = kept_name(source)
            comment = f"kept from the input: {source.removeprefix(KEPT_PREFIX)}"
        else:
            comment = known[source].meaning if source in known else ""
        if (other := sources.setdefault(name, source)) != source:
            raise InputError(
                f"the kept columns {safe_line(other, 80)!r} and {safe_line(source, 80)!r} would "
                f"both be {name} in the warehouse; rename one of them in the list, or keep one"
            )
        required = source in known and known[source].required
        columns.append(WarehouseColumn(name, source, dtype, comment, required))
    return tuple(columns)


def kept_name(source: str) -> str:
    """The warehouse's name of a column kept from the input.

    >>> kept_name("in_Kunden Nr."), kept_name("in_E-Mail;Adresse"), kept_name("in_Straße")
    ('in_kunden_nr', 'in_e_mail_adresse', 'in_strasse')
    """
    own = unicodedata.normalize("NFKD", source.removeprefix(KEPT_PREFIX).casefold())
    latin = "".join(c for c in own if not unicodedata.combining(c))
    name = KEPT_PREFIX + _OTHERS.sub("_", latin).strip("_")
    if name != KEPT_PREFIX and len(name) <= _LONGEST_NAME:
        return name
    # Cut, or without one Latin letter: its digest keeps it apart from others of the kind.
    digest = sha256(source.encode()).hexdigest()[:_DIGEST]
    return f"{name[: _LONGEST_NAME - _DIGEST - 1].rstrip('_')}_{digest}"


class ExistingType(NamedTuple):
    """A column's type in a table that is there already, in words that all targets share.

    ``kind`` is a polars type; ``Decimal`` with digits before the point for exact numbers. ``shown``
    is the type as the target writes it. ``most_characters`` bounds texts, None: there is no bound.
    """

    kind: pl.DataType | None
    shown: str
    most_characters: int | None = None
    whole_digits: int | None = None
    takes_null: bool = True


_WHOLE_DIGITS: dict[pl.DataType, int] = {pl.Int32(): 10, pl.Int64(): 19}
_CHARACTERS: dict[pl.DataType, int] = {
    pl.Boolean(): 5,
    pl.Int32(): 11,
    pl.Int64(): 20,
    pl.Float64(): 25,
    pl.Date(): 10,
    INSTANT: 27,
}
_WIDER = {(pl.Int32(), pl.Int64()), (pl.Int32(), pl.Float64())}
"""Of the types a column may have instead, those that keep every value."""


def keeps_every_value(dtype: pl.DataType, there: ExistingType, longest: int) -> bool:
    """Whether every value of the type survives in a column of that one.

    ``longest`` is the number of characters of the longest text in question.
    """
    if there.kind == pl.String():
        needed = _CHARACTERS.get(dtype, longest)
        return there.most_characters is None or needed <= there.most_characters
    if isinstance(there.kind, pl.Decimal):
        digits = _WHOLE_DIGITS.get(dtype)
        return digits is not None and (there.whole_digits is None or digits <= there.whole_digits)
    return dtype == there.kind or (dtype, there.kind) in _WIDER


def named(tables: Collection[str]) -> str:
    """The tables as the column ``loaded_tables`` names them."""
    return " ".join(table for table in DATA_FOLDERS if table in tables)


def as_text(dtype: pl.DataType, column: pl.Expr) -> pl.Expr:
    """The values as texts from which they can be read again."""
    if dtype == INSTANT:
        return column.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    return column.cast(pl.String)


def of_run_date(run_date: date) -> pl.Expr:
    """The column ``run_date``, the same in every row."""
    return pl.lit(run_date, pl.Date()).alias(RUN_DATE.name)
