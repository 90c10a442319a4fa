"""What an error of PostgreSQL means: exit code and remedy, by its SQLSTATE.

Messages, details and contexts of the server quote cells, as ``value "+49…" is out of range`` does:
only codes and names of ours pass, and the number of a row.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import polars as pl
import psycopg

from batch_screen.errors import ExitCode, WarehouseError
from batch_screen.warehouse.address import Address
from batch_screen.warehouse.runs import Batch, TableToLoad

# Classes and codes of SQLSTATE, and the exit code of the command that they end.
_LOST = ("08", "57P", "25P03")
_BUSY = ("55P03", "57014", "40001", "40P01", "53300")
_DATA = ("21", "22", "23", "42")


_DATA_REMEDIES = {
    "23505": (
        "rows with these keys are there though table runs does not have the run; --replace deletes "
        "those of this run first"
    ),
    "23502": "let the column have a default, or no NOT NULL",
    "42P10": "table runs needs a PRIMARY KEY or UNIQUE constraint on run_id",
}


class Doing(NamedTuple):
    """What is being done, for the message about its failure, and the right it needs."""

    what: str
    grant: str = ""
    table: TableToLoad | None = None
    batch: Batch | None = None


def failure(
    error: psycopg.Error,
    doing: Doing,
    address: Address,
    *,
    is_lost: bool,
    holders: Callable[[], str],
) -> WarehouseError:
    """The error for people and its exit code. ``holders`` says who has the locks, if asked."""
    state = error.sqlstate or ""
    if is_lost or state.startswith(_LOST):
        shown = f" (SQLSTATE {state})" if state else ""
        return WarehouseError(
            f"the connection to {address.shown} was lost{shown}; start the same command "
            "again: it loads what is not there",
            exit_code=ExitCode.UNREACHABLE,
        )
    what = f"cannot {doing.what} in {address.shown}: SQLSTATE {state or 'unknown'}"
    if state.startswith(_BUSY):
        return WarehouseError(
            f"{what}, {_word(state)}{holders()}; start the same command again later",
            exit_code=ExitCode.LOCKED,
        )
    if state == "42501":
        return WarehouseError(f"{what}, insufficient privilege; let an owner say: {doing.grant}")
    if state.startswith(_DATA):
        return WarehouseError(
            f"{what}, {_word(state)}{_where(error, doing)}; nothing of the run was "
            "kept; to fix it: "
            f"{_DATA_REMEDIES.get(state, 'compare the table with the columns of the run')}",
            exit_code=ExitCode.CONTENT,
        )
    return WarehouseError(f"{what}, {_word(state)}; nothing was kept: fix it, then start again")


def _word(state: str) -> str:
    """The condition's name as the manual has it."""
    try:
        name = psycopg.errors.lookup(state).__name__
    except KeyError:
        return "no name for it"
    return re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower()


def _where(error: psycopg.Error, doing: Doing) -> str:
    """Column and row of a value that was refused, never the value: names of ours, and a number."""
    names = [column.name for column in doing.table.columns] if doing.table else []
    found = next((name for name in (error.diag.column_name,) if name in names), None)
    context = error.diag.context or ""
    line = None
    if doing.table and (match := re.match(r"COPY [^,]+, [^\d,]+(\d{1,9})\b", context)):
        line = int(match[1])
        rest = context[match.end() :]
        found = found or next(
            (name for name in names if re.match(rf", [^\d,:]+ {re.escape(name)}:", rest)), None
        )
    where = f", column {found}" if found else ""
    if line is not None and doing.batch is not None:
        where += f", row {_row(doing.batch, line):,} of {doing.batch.part}"
    return where


def _row(batch: Batch, line: int) -> int:
    """The row of the file in which this line of the copied text lies: texts have breaks, too."""
    texts = pl.col(pl.String).str.count_matches("\n", literal=True).fill_null(0)
    breaks = batch.frame.select(pl.sum_horizontal(texts, pl.lit(1)).cum_sum())
    before = breaks.to_series().search_sorted(line)
    return batch.first_row + int(before)


_LOGIN = re.compile(
    r"password|authentication|pg_hba|role|Rolle|certificate|SASL|28000|28P01", re.IGNORECASE
)
_NO_DATABASE = re.compile(
    r"(database|Datenbank) [^,]*(does not exist|existiert nicht)|denied for database", re.IGNORECASE
)


def no_login(error: psycopg.Error, address: Address) -> WarehouseError:
    """Why no connection came about: libpq gives no code for it, so its words decide."""
    said = str(error)
    asked = getattr(error, "pgconn", None)
    is_refused = bool(asked is not None and (asked.needs_password or asked.used_password))
    if _NO_DATABASE.search(said):
        return WarehouseError(
            f"{address.shown}: there is no such database, or this role may not connect to it; "
            "check the address, or let an owner say: GRANT CONNECT ON DATABASE",
            exit_code=ExitCode.KEY,
        )
    if is_refused or _LOGIN.search(said):
        return WarehouseError(
            f"{address.shown}: the login was refused; check user, password file (~/.pgpass or "
            "PGPASSFILE, mode 0600), certificates, and pg_hba.conf of the server",
            exit_code=ExitCode.KEY,
        )
    return WarehouseError(
        f"{address.shown}: no server was reached, or it takes no connections now; check host, port "
        "and network, then start the same command again",
        exit_code=ExitCode.UNREACHABLE,
    )
