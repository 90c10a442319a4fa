"""Sheets out of a complete run: the customers that deserve a look, or the rows to repair.

Needs no key. A rejected cell as it was written is in none of the run's files, so it is read from
the list again, if that is still there and still the same.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

import msgspec
import polars as pl

from batch_screen.config.paths import refuse_address
from batch_screen.config.screening import OPT_OUT_FILE, Input
from batch_screen.erasure.journal import note_pending
from batch_screen.errors import BatchScreenError, ConfigurationError, InputError
from batch_screen.input.files import digest
from batch_screen.input.layout import shown
from batch_screen.input.remote import copy_remote, find_remote
from batch_screen.input.table import BATCH_ROWS, Table, open_table
from batch_screen.job import STATE
from batch_screen.masking import safe_line
from batch_screen.model import Endpoint, OutcomeKind
from batch_screen.numbers.rules import RejectReason
from batch_screen.planning.build import ROWS_ABOVE
from batch_screen.runs.events import RunEvents
from batch_screen.runs.layout import ERRORS, RESULTS, Layout, is_run_id, run_at
from batch_screen.runs.state import RETRY_OF, Run, id_key_of, read_run
from batch_screen.schema import (
    EXPORT_FLAGGED,
    EXPORT_REJECTED,
    KEPT_PREFIX,
    NUMBER_ID,
    Column,
    dtypes,
)
from batch_screen.storage.atomic import check_file
from batch_screen.storage.parquet import scan_parquet
from batch_screen.storage.partition import compact, in_ranges
from batch_screen.storage.scratch import scratch_folder
from batch_screen.tables.breakdown import signs_of, values_of
from batch_screen.tables.integrity import own_files, refuse_changed, whole_manifest
from batch_screen.tables.reader import DamagedPartError, Unit, columns_of
from batch_screen.tables.results import RECENT_HOURS
from batch_screen.tables.sheets import check_suffix, write_sheet
from batch_screen.tables.summary import Summary, read_summary

_ROW = "row_index"
_AT = "%Y-%m-%d %H:%M UTC"
_SIGNALS = {
    "SIM changed": "risk_sim_recent",
    "device changed": "risk_device_recent",
    "all calls forwarded": "risk_forwarding_active",
}
"""What a sheet calls a signal, and its flag in results."""

_ROWS, _UNKNOWNS = "rows", ("unknown", "unanswered")
_PLACES = 3  # the first columns of a sheet say where the row stands
_INPUT = "input."
_LONGEST_NOTE = 400
_AT_ONCE = 20_000
"""Rows of a sheet that are written at once: their texts and masks take several times their size."""


class ExportReport(msgspec.Struct, frozen=True):
    """A sheet that was written: ``rows`` of the ``of_rows`` that were accepted, or read.

    ``counts`` are rows by signal, or by the reason of the reject. ``unknown`` rows have no signal,
    and one at least that nobody knows, ``unanswered`` of these for want of an answer. They are
    in the sheet where that was wanted. ``left_out`` rows of the list were not taken, by the run's
    limit. ``note`` says why cells are masked that were not to be.
    """

    run_id: str
    path: str
    rows: int
    of_rows: int
    counts: dict[str, int]
    unknown: int = 0
    unanswered: int = 0
    left_out: int = 0
    note: str = ""


def export(  # noqa: PLR0913 (a run, a sheet, and the rows in it)
    folder: Path | str,
    to: Path | str,
    run_id: str | None = None,
    *,
    rejected: bool = False,
    unknown: bool = False,
    masked: bool = False,
    state: Path | str | None = None,
    events: RunEvents | None = None,
) -> ExportReport:
    """Writes a sheet of the customers that deserve a look, in the order of the input.

    ``unknown``: also of those of whom nobody can say; ``rejected``: of the rows to repair instead.
    ``folder`` is an output folder, whose latest run is taken, or a run's own. ``to`` ends in .csv,
    .xlsx or .parquet. ``state`` is the state folder, by default that in the output folder. Raises
    ``InputError`` where there is no such run (66), or it is not complete or not whole (65).
    """
    target, events = Path(to), events or RunEvents()
    refuse_address(to, "--to")
    check_suffix(target, "--to")
    layout = run_at(Path(folder), run_id)
    note_pending(layout.folder, events)
    layout.refuse_inside(target)
    check_file(target, "--to")
    table = ERRORS if rejected else RESULTS
    summary = _whole_summary(layout, table, events)
    run, fault = _run(layout.run_id, Path(state) if state else layout.folder / STATE)
    if target.exists():
        _refuse_list(target, summary, run, layout.parts(table))
    with scratch_folder() as scratch:
        sheet: _Flagged | _Rejected = (
            _Rejected(summary, None if masked else run, "" if masked else fault, scratch)
            if rejected
            else _Flagged(layout, summary, unknown=unknown)
        )
        events.progress.stage("writing", total=len(layout.parts(sheet.table)))
        frames = _read(layout, sheet, events)
        with in_ranges(frames, _ROW, summary.rows.read, scratch) as ranges:
            rows = chain.from_iterable(each.iter_slices(_AT_ONCE) for each in ranges)
            done, mode = sheet.completed(rows), layout.file_mode
            write_sheet(target, sheet.title, sheet.columns, done, masked=masked, mode=mode)
    return sheet.report(str(target))


def _whole_summary(layout: Layout, table: str, events: RunEvents) -> Summary:
    """The run's summary. Raises ``InputError`` where it, or the table, is not what was written."""
    if not layout.is_marked:
        raise InputError(
            f"run {layout.run_id} is not complete, so nobody can say who deserves a look; "
            "batch-screen status says whether it is running, and how to resume it"
        )
    manifest = whole_manifest(layout)
    named = str(layout.summary.relative_to(layout.folder))
    files = own_files(layout, manifest)
    refuse_changed(layout, [f for f in files if f.table == table or f.path == named], events)
    return read_summary(layout.summary)


def _run(run_id: str, state: Path) -> tuple[Run | None, str]:
    """The state of the run that read the list; or None, and why it cannot be used."""
    folder = state / "runs" / run_id
    try:
        run = read_run(folder) if is_run_id(run_id) and folder.exists() else None
    except BatchScreenError as error:
        return None, safe_line(str(error), _LONGEST_NOTE)
    if run is None:
        return None, f"the state of run {safe_line(run_id)} is gone"
    retried = run.file.identity.settings.get(RETRY_OF)
    return _run(str(retried), state) if retried else (run, "")


def _refuse_list(target: Path, summary: Summary, run: Run | None, parts: list[Path]) -> None:
    """Raises ``ConfigurationError`` where the sheet would replace what the run has read."""
    lists = [Path(path) for path in run.file.inputs] if run else []
    contents = {summary.settings.get(OPT_OUT_FILE), *(run.file.identity.content if run else ())}
    is_read = any(path.exists() and path.samefile(target) for path in lists)
    if not run:  # nobody knows where the list lies, so its name has to do
        scan = scan_parquet(parts).select("source_file").drop_nulls()
        names = scan.unique().collect(engine="streaming")["source_file"]
        is_read = target.name in {Path(name).name for name in names}
    if is_read or digest(target) in contents:
        raise ConfigurationError(
            f"--to {target}: this is a list that the run has read, which would be lost; name "
            "another file"
        )


def _read(layout: Layout, sheet: _Flagged | _Rejected, events: RunEvents) -> Iterator[pl.DataFrame]:
    """The rows for the sheet out of all parts of its table, a row group at a time."""
    try:
        for path in layout.parts(sheet.table):
            for frame in Unit(path).frames():
                yield from (compact(sheet.selected(s)) for s in frame.iter_slices(_AT_ONCE))
            events.advance(1)
    except DamagedPartError as error:
        raise InputError(
            f"run {layout.run_id} cannot be read, {error.where}: {error}; look into it with "
            f"batch-screen validate {layout.run}"
        ) from error


def _line(frame: pl.DataFrame, summary: Summary) -> pl.Expr:
    """The row's line as a spreadsheet counts it."""
    said = json.loads(summary.facts.get(ROWS_ABOVE, "{}"))
    names = frame["source_file"].unique().drop_nulls()
    above = {name: said.get(safe_line(name), 1) for name in names}
    rows_above = pl.col("source_file").replace_strict(above, default=1, return_dtype=pl.Int64)
    return (pl.col("source_row") + rows_above).alias("line")


def _column(frame: pl.DataFrame, summary: Summary) -> pl.Expr:
    """The column of the row's number, which each row names where the list has several."""
    named = "phone_column"
    if named in frame.columns:
        return pl.col(named)
    return pl.lit(shown(summary.facts.get(named, "")))


def _kept(found: Mapping[str, pl.DataType]) -> tuple[Column, ...]:
    """The columns kept from the input, as they are called in results."""
    names = {name: dtype for name, dtype in found.items() if name.startswith(KEPT_PREFIX)}
    return tuple(Column(name, dtype, "kept from the input") for name, dtype in names.items())


class _Flagged:
    """Rows of results with a signal, and where that is wanted those of whom nobody can say."""

    title, table = "flagged", RESULTS

    def __init__(self, layout: Layout, summary: Summary, *, unknown: bool) -> None:
        self._summary = summary
        self._asked = [endpoint for endpoint in Endpoint if endpoint.value in summary.endpoints]
        self._with_unknown = unknown
        self._found: Counter[str] = Counter()
        kept = _kept(columns_of(layout.parts(RESULTS)[0]))
        contract = EXPORT_FLAGGED
        if id_key_of(summary.settings):  # then the id says whose row it is
            contract = (*(NUMBER_ID if c.name == "e164" else c for c in contract),)
        self.columns = (*contract[:_PLACES], *kept, *contract[_PLACES:])

    def selected(self, frame: pl.DataFrame) -> pl.DataFrame:
        flags = {words: pl.col(flag).fill_null(value=False) for words, flag in _SIGNALS.items()}
        is_flagged, signs = pl.any_horizontal(*flags.values()), signs_of(self._asked)
        claims = {**flags, _ROWS: is_flagged, **{name: signs[name] for name in _UNKNOWNS}}
        rows = frame.with_columns(values_of(self._asked))
        counts = rows.select(claim.sum().alias(name) for name, claim in claims.items())
        self._found.update(counts.row(0, named=True))
        wanted = is_flagged | signs["unknown"] if self._with_unknown else is_flagged
        why = [pl.when(flag).then(pl.lit(words)) for words, flag in flags.items()]
        shown_rows = rows.filter(wanted).with_columns(
            _line(frame, self._summary),
            why=pl.when(is_flagged).then(_joined(*why)).otherwise(_joined(*self._unknown())),
            since=_joined(_since("sim"), _since("device"), _seen()),
            column=_column(frame, self._summary),
        )
        return shown_rows.select(_ROW, *dtypes(self.columns).names())

    def completed(self, rows: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        return rows

    def report(self, path: str) -> ExportReport:
        found, summary = self._found, self._summary
        rows = found[_ROWS] + (found["unknown"] if self._with_unknown else 0)
        counts = {words: found[words] for words in _SIGNALS if found[words]}
        return ExportReport(
            summary.run_id,
            path,
            rows,
            summary.rows.accepted,
            counts,
            unknown=found["unknown"],
            unanswered=found["unanswered"],
            left_out=summary.rows.left_out,
        )

    def _unknown(self) -> Iterator[pl.Expr]:
        """What came of each lookup where that is no answer."""
        yield pl.lit("unknown")
        for endpoint in self._asked:
            outcome = pl.col(f"{endpoint.column}_outcome")
            said = pl.format("{}: {}", pl.lit(endpoint.value), outcome)
            yield pl.when(outcome != OutcomeKind.SUCCESS.value).then(said)


def _since(of: str) -> pl.Expr:
    """When the SIM or the device changed: its date if that is recent, else the check's window."""
    date = pl.col(f"{of}_swap_date_latest_change_at").dt.strftime(_AT)
    after = pl.format("after {}", pl.col(f"{of}_swap_check_window_start").dt.strftime(_AT))
    is_dated = pl.col(f"{of}_change_age_hours") < RECENT_HOURS
    return pl.when(f"risk_{of}_recent").then(pl.when(is_dated).then(date).otherwise(after))


def _seen() -> pl.Expr:
    """When the forwarding was seen: that is all the API says of its time."""
    seen = pl.col("call_forwarding_check_responded_at").dt.strftime(_AT)
    return pl.when("risk_forwarding_active").then(pl.format("seen {}", seen))


def _joined(*texts: pl.Expr) -> pl.Expr:
    return pl.concat_str(*texts, separator="; ", ignore_nulls=True)


class _Rejected:
    """Rejected rows, each with its cell as it stands in the list where that can be read again."""

    title, table = "rejected", ERRORS

    def __init__(self, summary: Summary, run: Run | None, note: str, scratch: Path) -> None:
        self._summary = summary
        self._found: Counter[str] = Counter()
        self._note = note
        self._list: Table | None = None
        if run:
            try:
                self._list = _list_again(run, scratch)
            except BatchScreenError as error:
                self._note = safe_line(str(error), _LONGEST_NOTE)
        kept = _kept(self._list.kept) if self._list else ()
        self.columns = (*EXPORT_REJECTED[:_PLACES], *kept, *EXPORT_REJECTED[_PLACES:])

    def selected(self, frame: pl.DataFrame) -> pl.DataFrame:
        rejects = frame.filter(pl.col("kind") == "reject")
        self._found.update(dict(rejects["reason"].value_counts().iter_rows()))
        return rejects.with_columns(
            _line(rejects, self._summary),
            column=_column(rejects, self._summary),
            cell=pl.col("raw_masked"),
        )

    def completed(self, rows: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """The rejects with what the list holds of them; both are in the same order.

        Who has opted out is not to be repaired, and no more is shown of them than before.
        """
        if self._list is None:
            yield from rows
            return
        cells = (_ROW, "raw", f"^{KEPT_PREFIX}.*$")
        batches = (batch.select(cells) for batch in self._list.batches(BATCH_ROWS))
        batch = next(batches, None)
        for rejects in rows:
            if rejects.is_empty():
                continue
            wanted = rejects.filter(pl.col("reason") != RejectReason.OPTED_OUT.value)
            beside = []
            while batch is not None:
                beside.append(compact(batch.join(wanted, on=_ROW, how="semi")))
                if batch[_ROW][-1] >= rejects[_ROW][-1]:
                    break  # the next rows may begin in this batch
                batch = next(batches, None)
            joined = rejects.join(pl.concat(beside), on=_ROW, how="left", maintain_order="left")
            yield joined.with_columns(cell=pl.coalesce("raw", "raw_masked"))

    def report(self, path: str) -> ExportReport:
        summary, found = self._summary, self._found
        counts = dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
        return ExportReport(
            summary.run_id,
            path,
            found.total(),
            summary.rows.read,
            counts,
            left_out=summary.rows.left_out,
            note=self._note,
        )


def _list_again(run: Run, scratch: Path) -> Table:
    """The run's list as it was read. Raises ``InputError`` where it is gone or has changed."""
    identity, paths, places = run.identity, [], []
    for number, (name, content) in enumerate(zip(run.file.inputs, identity.content, strict=True)):
        path = place = Path(name)
        if remote := find_remote(name):
            place = remote[0].place
            [(path, _)] = copy_remote(remote, scratch / f"list-{number}")
        if digest(path, name) != content:
            raise InputError(f"{name} has changed since; restore it")
        paths.append(path)
        places.append(place)
    own = {k.removeprefix(_INPUT): v for k, v in identity.settings.items() if k.startswith(_INPUT)}
    return open_table(paths, Input(**own), places=places)
