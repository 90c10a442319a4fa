"""Checks a run's totals against summary.json, errors.csv and its row indexes."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from batch_screen.config.settings import Prices
from batch_screen.errors import OutputError
from batch_screen.masking import mask_texts
from batch_screen.model import ColumnRows, Endpoint
from batch_screen.numbers.rules import RejectReason
from batch_screen.runs.layout import ERRORS, LOOKUPS, RESULTS, Layout
from batch_screen.runs.state import limit_of
from batch_screen.schema import ERRORS as ERROR_COLUMNS
from batch_screen.schema import READ_VERSIONS, dtypes, of_version
from batch_screen.storage.parquet import scan_parquet
from batch_screen.storage.reading import open_regular, refuse_large
from batch_screen.tables.counts import NO_LOOKUPS, count_lookups, count_saved, scans_of
from batch_screen.tables.coverage import Saved, count_contradictions, count_coverage
from batch_screen.tables.integrity import Difference, VerifyCheck, rewrite
from batch_screen.tables.reader import DamagedPartError, readable
from batch_screen.tables.results import count_risk
from batch_screen.tables.summary import (
    COMPLETE,
    LookupFigures,
    Summary,
    read_summary,
    strange_parts,
)
from batch_screen.verify.recount import Recount, Totals

AT_ONCE = 4_000_000
"""Row indexes in memory at a time; each such window reads all parts."""


def sums_checks(layout: Layout, recounted: Recount) -> list[VerifyCheck]:
    """The checks of the whole run; none can be made if a part was unreadable."""
    totals, summary = recounted.totals, summary_of(layout)
    # Rows are numbered by their place in the list, where those that were erased stood too.
    erased = summary.erased_rows(RESULTS) if summary else 0
    rows = totals.rows[RESULTS] + totals.rejects.total()
    if summary and erased:
        rows = summary.rows.read
    but = f" but {erased:,} erased rows" if erased else ""

    def check(
        name: str, claim: str, examined: int, where: str, faults: Iterable[str]
    ) -> VerifyCheck:
        # The faults come from a generator: nothing is read where nothing can be said.
        found = () if recounted.unchecked else tuple(Difference(where, what) for what in faults)
        return VerifyCheck(name, claim, examined, found, rewrite(layout), recounted.unchecked)

    of_summary = str(layout.summary.relative_to(layout.folder))
    of_csv = str(layout.errors_csv.relative_to(layout.folder))
    unreadable = ["it cannot be read"]
    return [
        check(
            "rows",
            f"row indexes from 0, none missing{but}, none twice",
            rows,
            f"{RESULTS} and {ERRORS}",
            row_faults(recounted.paths[RESULTS], recounted.paths[ERRORS], rows, erased=erased),
        ),
        check(
            "accounting",
            f"rows: read = accepted + rejected{' + erased' if erased else ''}; lookups = numbers "
            "x endpoints = outcomes",
            rows,
            of_summary,
            _accounting_faults(summary, totals) if summary else unreadable,
        ),
        check(
            "summary",
            "lookups and rows add up to the figures of summary.json",
            totals.rows[LOOKUPS],
            of_summary,
            _summary_faults(layout, summary, recounted) if summary else unreadable,
        ),
        check(
            "errors.csv",
            "lines below the header, one for each row of errors",
            totals.rows[ERRORS],
            of_csv,
            _csv_faults(layout.errors_csv, totals.rows[ERRORS]),
        ),
    ]


def row_faults(
    results: list[Path], errors: list[Path], rows: int, *, at_once: int = AT_ONCE, erased: int = 0
) -> Iterator[str]:
    """Errors in the row indexes, which must be 0 to ``rows - 1``, each once.

    So many as were ``erased`` are missing, and no more.
    """
    index = pl.col("row_index")
    scans = [
        scan_parquet(results).select(index),
        scan_parquet(errors).filter(pl.col("kind") == "reject").select(index),
    ]
    all_rows = pl.concat(scans)
    try:
        with readable():
            # A streamed count, and windows: all indexes of a large run do not fit into memory.
            strays = all_rows.filter(~index.is_between(0, rows - 1)).select(pl.len())
            if outside := strays.collect(engine="streaming").item():
                yield f"{outside:,} row indexes lie outside 0 to {rows - 1}"
            missing = 0
            for first in range(0, rows, at_once):
                last = min(first + at_once, rows) - 1
                window = all_rows.filter(index.is_between(first, last))
                found = window.collect(engine="streaming")["row_index"].sort()
                twice = found.filter(found.diff() == 0)
                if twice.len():
                    yield f"{twice.len():,} row indexes are listed twice, the first is {twice[0]}"
                lacking = last - first + 1 - (found.len() - twice.len())
                missing += lacking
                if lacking and not erased:
                    expected = pl.int_range(first, last + 1, dtype=pl.Int64, eager=True)
                    absent = expected.filter(~expected.is_in(found.implode()))
                    yield f"{lacking:,} row indexes are missing, the first is {absent[0]}"
            if erased and missing != erased:
                yield f"{missing:,} row indexes are missing, and {erased:,} rows were erased"
    except DamagedPartError as error:
        yield f"cannot be read: {error}"


def _accounting_faults(summary: Summary, totals: Totals) -> Iterator[str]:
    rows, rejected = summary.rows, totals.rejects.total()
    endpoints, erased = summary.endpoints, summary.erased_rows(RESULTS)
    by_outcome = sum(count for e in endpoints.values() for count in e.by_outcome.values())
    # Whatever is no success and was not spared is listed in errors, inconclusive answers too.
    failures = by_outcome - sum(
        e.by_outcome.get("success", 0) + e.spared for e in endpoints.values()
    )
    counted = {
        "rows read": (rows.read, totals.rows[RESULTS] + rejected + erased),
        "rows accepted": (rows.accepted, totals.rows[RESULTS]),
        "rows rejected": (rows.rejected, rejected),
        "rejected rows by reason": (rows.rejected_by_reason, dict(totals.rejects)),
        "rows by phone column": (
            _by_column(rows.by_phone_column.items()),
            _by_column(totals.columns),
        ),
        "unique numbers": (rows.unique_numbers, totals.numbers),
        "duplicates": (rows.duplicates, totals.rows[RESULTS] - totals.numbers),
        "lookups": (summary.lookups, totals.rows[LOOKUPS]),
        "numbers x endpoints": (rows.unique_numbers * len(endpoints), totals.rows[LOOKUPS]),
        "outcomes": (by_outcome, totals.rows[LOOKUPS]),
        "rejects + failed lookups": (rows.rejected + failures, totals.rows[ERRORS]),
    }
    if rows.left_out:  # only once the limit was reached
        limit = limit_of(summary.settings)
        # Of those who objected after the run was planned, some may have been among the first.
        numbers = totals.numbers + erased_numbers(summary)
        least = numbers + totals.rejects[RejectReason.OPTED_OUT]
        reached = max(min(limit, least), numbers)
        counted["numbers of the limit"] = (limit, reached)
    yield from _unequal(counted)


def erased_numbers(summary: Summary) -> int:
    """The numbers that were erased: each had a lookup at every endpoint."""
    return summary.erased_rows(LOOKUPS) // max(1, len(summary.endpoints))


def _by_column(columns: Iterable[tuple[str, ColumnRows]]) -> list[tuple[int, ...]]:
    """Read, accepted, rejected and empty rows by phone column: figures alone, as names are foreign.

    Files may name a column in upper and lower case.
    """
    found: dict[str, ColumnRows] = {}
    for name, rows in columns:
        found[name.casefold()] = found.get(name.casefold(), ColumnRows(0, 0, 0, 0)) + rows
    return [msgspec.structs.astuple(found[name]) for name in sorted(found)]


def _summary_faults(layout: Layout, summary: Summary, recounted: Recount) -> Iterator[str]:
    if strange := [*strange_parts(summary)]:
        yield from strange
        return
    yield from _unequal(
        {
            "run": (summary.run_id, layout.run_id),
            "date": (summary.run_date, layout.run_date),
            "status": (summary.status, COMPLETE),
            "cost": (summary.cost, round(sum(e.cost for e in summary.endpoints.values()), 6)),
        }
    )
    try:
        with readable():
            # Without prices: what a request costs is not in the parts.
            counted = count_lookups(scans_of(recounted.paths[LOOKUPS]), Prices())
            if summary.erased:  # maybe everybody
                counted = dict.fromkeys(summary.endpoints, NO_LOOKUPS) | counted
            risk = count_risk(scans_of(recounted.paths[RESULTS]))
            coverage = count_coverage(scans_of(recounted.paths[LOOKUPS]))
            contradictions = count_contradictions(scans_of(recounted.paths[LOOKUPS]))
    except DamagedPartError as error:
        yield f"the parts cannot be counted: {error}"
        return
    yield from _unequal({f"risk {n}": (summary.risk.get(n), risk[n]) for n in risk})
    # Runs whose windows do not reach back have counted no coverage.
    if summary.settings.get("screening.max_age"):
        checks = sorted({*summary.coverage, *coverage})
        yield from _unequal(
            {f"coverage of {n}": (summary.coverage.get(n), coverage.get(n)) for n in checks}
        )
    named = summary.settings.get("screening.endpoints")
    endpoints = [Endpoint(name) for name in named] if isinstance(named, list) else []
    saved = count_saved(counted, endpoints, Prices())
    names = [name for name in Saved.__struct_fields__ if name != "cost"]
    yield from _unequal(
        {f"saved {n}": (getattr(summary.saved, n), getattr(saved, n)) for n in names}
    )
    yield from _unequal({"contradictions": (summary.contradictions, contradictions)})
    for endpoint in sorted({*summary.endpoints, *counted}):
        one, other = (_figures(of.get(endpoint)) for of in (summary.endpoints, counted))
        figures = sorted({*one, *other})
        yield from _unequal({f"{endpoint} {n}": (one.get(n), other.get(n)) for n in figures})


def _figures(lookups: LookupFigures | None) -> dict[str, Any]:
    """The figures by name, but for the cost."""
    figures: dict[str, Any] = {} if lookups is None else msgspec.structs.asdict(lookups)
    figures.pop("cost", None)
    return figures


def _unequal(pairs: dict[str, tuple[Any, Any]]) -> Iterator[str]:
    for what, (said, counted) in pairs.items():
        if said != counted:
            yield f"{what}: {mask_texts(said)} in summary.json, {counted} in the parts"


_LONGEST_LINE = 64 << 10


def _csv_faults(path: Path, rows: int) -> Iterator[str]:
    try:
        with open_regular(path) as raw, TextIOWrapper(raw, "utf-8-sig", newline="") as file:
            refuse_large(raw, (rows + 2) * _LONGEST_LINE)
            # Strict, so that a quote which is never closed is damage and not one long line.
            lines = csv.reader(file, strict=True)
            header = next(lines, [])
            below = sum(1 for _ in lines)
    except (OSError, UnicodeError, csv.Error):
        yield "it cannot be read"
        return
    if header not in (dtypes(of_version(ERROR_COLUMNS, v)).names() for v in READ_VERSIONS):
        yield "its header does not name the columns of errors"
    if below != rows:
        yield f"{below:,} lines, {rows:,} rows of errors"


def summary_of(layout: Layout) -> Summary | None:
    """The run's summary, or None if it cannot be read."""
    try:
        return read_summary(layout.summary)
    except OutputError:
        return None
