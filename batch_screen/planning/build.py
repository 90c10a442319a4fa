"""Read → normalise → plan: from files of raw numbers to a plan folder."""

from __future__ import annotations

import json
import secrets
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import polars as pl
import pyarrow as pa

from batch_screen.config.screening import OPT_OUT_FILE, Ambiguous
from batch_screen.config.settings import Settings
from batch_screen.errors import ConfigurationError, InputError
from batch_screen.input.files import Source, Stdin, as_text, refuse_changed, spool
from batch_screen.input.remote import RemoteFile, copy_remote
from batch_screen.input.table import BATCH_ROWS, Table, open_listed, open_table
from batch_screen.masking import plain, safe_line
from batch_screen.model import Plan
from batch_screen.numbers.convention import ConventionCounter, Conventions, Evidence
from batch_screen.numbers.frame import ADDED_COLUMNS, normalise_frame
from batch_screen.numbers.normalise import Normaliser, metadata_version
from batch_screen.numbers.restrict import NOBODY, OptOutCells, permit, read_opt_outs
from batch_screen.numbers.rules import REMEDY, RejectReason
from batch_screen.planning.history import (
    EarlierRun,
    earlier_answers,
    earlier_runs,
    is_reusable,
    write_history,
)
from batch_screen.planning.opt_outs import OptOuts
from batch_screen.planning.shards import WriteHistory, make_plan
from batch_screen.privacy.ids import NumberIds
from batch_screen.runs.events import RunEvents
from batch_screen.runs.state import Identity, id_key_of, limit_of
from batch_screen.schema import KEPT_PREFIX, number_column
from batch_screen.storage.partition import HELD_BYTES
from batch_screen.storage.prefetch import ordered_map

Result = TypeVar("Result")
_Passed = Callable[[Iterable[pl.DataFrame]], Iterator[pl.DataFrame]]
ROWS_ABOVE = "rows_above"
"""The fact of a plan that says by file, as JSON, how many rows stand above its first one."""


class InputFile(NamedTuple):
    """An input file, and its name in messages if not its own.

    Of a copy also the ``remote`` it is of, and the digest that was taken meanwhile.
    """

    path: Path
    name: str | None = None
    remote: RemoteFile | None = None
    sha256: str = ""

    @property
    def place(self) -> Path:
        return self.remote.place if self.remote else self.path


@contextmanager
def on_disk(
    sources: Sequence[Source], folder: Path, events: RunEvents
) -> Iterator[list[InputFile]]:
    """The sources as files: what can be read only once, or lies elsewhere, is copied meanwhile."""
    token = secrets.token_hex(8)
    spooled, copies = folder / f"stdin-{token}.input", folder / f"remote-{token}.input"
    remote = [source for source in sources if isinstance(source, RemoteFile)]
    try:
        copied: Iterator[tuple[Path, str]] = iter(())
        with events.stop.interrupting():
            if any(isinstance(source, Stdin) for source in sources):
                spool(sys.stdin.buffer, spooled)
            if remote:
                sizes = [file.bytes or 0 for file in remote]
                events.progress.stage("fetching", total=sum(sizes) if all(sizes) else None)
                copied = iter(copy_remote(remote, copies, events.progress.advance))
        files = []
        for source in sources:
            if isinstance(source, RemoteFile):
                path, digest = next(copied)
                files.append(InputFile(path, None, source, digest))
            elif isinstance(source, Stdin):
                files.append(InputFile(spooled, source.name))
            else:
                files.append(InputFile(source))
        yield files
    finally:
        with suppress(OSError):  # the next start clears it; the error to raise is another
            spooled.unlink()
        shutil.rmtree(copies, ignore_errors=True)


def full_paths(files: list[InputFile]) -> list[str]:
    """The paths by which a file that has changed is recognised."""
    return [
        file.remote.address if file.remote else file.name or as_text(file.path.resolve())
        for file in files
    ]


def opt_out_list(settings: Settings) -> InputFile | None:
    """The file of numbers that are never asked about, under the name messages give it."""
    named = settings.numbers.opt_out_file
    return InputFile(Path(named), f"opt-out list {named}") if named else None


def plan_inputs(  # noqa: PLR0913 (the stages' common arguments, and as of when)
    sources: Sequence[InputFile],
    settings: Settings,
    folder: Path,
    events: RunEvents,
    identity: Identity | None = None,
    *,
    now: datetime | None = None,
    ids: NumberIds | None = None,
) -> Plan:
    """Writes the plan of the sources into ``folder``.

    Raises ``InputError`` where nothing can be read, no row holds a usable number, a cell of the
    opt-out list cannot be read, or a file no longer has the content that the ``identity``
    says, if there is one. Raises ``Stopped`` between two batches if ``events`` ask for it.
    Earlier runs count as of ``now``. ``ids`` are those that stand for numbers in the output.
    """
    digests = identity.content if identity else []
    limit = limit_of(identity.settings) if identity else 0
    share = settings.output.memory_share
    opted_out = opt_outs(settings, events, identity)
    listed = identity.settings[OPT_OUT_FILE] if identity else ""
    kept = OptOuts(listed, opted_out) if listed else None

    def read(table: Table, batches: Iterable[pl.DataFrame], columns: Sequence[PhoneColumn]) -> Plan:
        expected = table.expected_rows()
        if ids:
            refuse_kept_numbers(table)
        return make_plan(
            batches,
            folder,
            shard_rows=settings.output.shard_rows(len(settings.endpoints)),
            held_bytes=int(HELD_BYTES * share),
            facts={
                "phone_column": ", ".join(table.phone_columns),
                "number_metadata": metadata_version(),
                "conventions": named_conventions(columns),
                **_lines_above(table),
            },
            on_rows=events.advance,
            phone_columns=table.phone_columns,
            expected_rows=min(expected, limit or expected),
            limit=limit,
            history=_history_writer(settings, identity, events, now or datetime.now(UTC)),
            opt_outs=kept,
            keep_columns=settings.input.keep_columns,
            ids=ids,
        )

    found = by_convention(sources, settings, read, events, opted_out=opted_out, digests=digests)
    plan = found.result
    for note in found.table.notes:
        events.progress.note(note)
    pa.default_memory_pool().release_unused()  # 70 MiB after a million rows
    if plan.accepted == 0:
        shutil.rmtree(folder)
        raise InputError(_nothing_usable(plan))
    return plan


class PhoneColumn(NamedTuple):
    """A column of numbers: its names in the files, how its cells are read, and their evidence."""

    names: Sequence[str]
    normaliser: Normaliser
    counter: ConventionCounter | None = None

    @property
    def conventions(self) -> Conventions:
        return self.normaliser.conventions


class Read(NamedTuple, Generic[Result]):
    """The result of reading a list: its columns' conventions, and the evidence for them."""

    table: Table
    result: Result
    columns: Sequence[PhoneColumn]
    evidence: Sequence[Mapping[str, Evidence]]
    """Of each column, by region."""


def by_convention(  # noqa: PLR0913 (the stages' common arguments)
    sources: Sequence[InputFile],
    settings: Settings,
    read: Callable[[Table, Iterable[pl.DataFrame], Sequence[PhoneColumn]], Result],
    events: RunEvents,
    *,
    opted_out: pl.Series,
    digests: Sequence[str] = (),
) -> Read[Result]:
    """Reads the sources by ``read``, which is given their judged batches.

    Where digits are in doubt and the list's other rows show how it writes its numbers, they
    are read once more, in a stage of its own: only the whole list can show that. ``read`` then sees
    an exception behind the last batch, so that it keeps nothing of its first reading.
    """
    share = settings.output.memory_share
    table, columns = opened(sources, settings)

    def once(columns: Sequence[PhoneColumn], passed: _Passed = iter) -> Result:
        rows = unchanged(table, sources, digests, share)
        with judged(rows, columns, opted_out) as batches:
            return read(table, passed(batches), columns)

    if settings.numbers.ambiguous is not Ambiguous.BY_LIST:
        return Read(table, once(columns), columns, [{} for _ in columns])
    # Each column has its own: mobiles may come with a country code, and landlines without.
    counters = [ConventionCounter(column.normaliser.home) for column in columns]
    counting = [c._replace(counter=n) for c, n in zip(columns, counters, strict=True)]

    def unless_learnt(batches: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        yield from batches
        if any(counter.conventions() for counter in counters):
            raise _ReadAgain

    def found(result: Result) -> Read[Result]:
        return Read(table, result, columns, [counter.evidence() for counter in counters])

    with suppress(_ReadAgain):
        return found(once(counting, unless_learnt))
    columns = [
        PhoneColumn(column.names, column.normaliser.with_conventions(counter.conventions()))
        for column, counter in zip(columns, counters, strict=True)
    ]
    events.progress.stage("reading again")
    return found(once(columns))


class _ReadAgain(Exception):  # noqa: N818 (no error)
    """The list has shown how to read what was in doubt, so nothing of this reading is kept."""


def _lines_above(table: Table) -> dict[str, str]:
    """By file, its name masked, what stands above its rows if that is not the header alone."""
    above = {safe_line(name): rows for name, rows in table.rows_above().items()}
    return {ROWS_ABOVE: json.dumps(above, ensure_ascii=False)} if above else {}


def named_conventions(columns: Sequence[PhoneColumn]) -> str:
    """The columns' conventions in words, as ``DE international, US national``."""
    found = []
    for column in columns:
        each = ", ".join(f"{region} {how}" for region, how in sorted(column.conventions.items()))
        found += [f"{column.names[0]}: {each}" if len(columns) > 1 else each] if each else []
    return "; ".join(found)


def runs_before(
    settings: Settings,
    identity: Identity,
    now: datetime,
    on_damage: Callable[[str], None] = lambda _: None,
) -> list[EarlierRun]:
    """The complete runs in the output folder whose answers count for a run of this identity.

    ``on_damage`` gets a line on each that cannot be read any more.
    """
    if not settings.output.folder:
        return []
    oldest = now - timedelta(days=settings.planner.look_back_days)
    return earlier_runs(Path(settings.output.folder), identity.settings, oldest, on_damage)


def _history_writer(
    settings: Settings, identity: Identity | None, events: RunEvents, now: datetime
) -> WriteHistory | None:
    """The function that copies earlier answers into the plan; None if the settings use none."""
    screening, reuse = settings.screening, settings.planner.reuse_within_minutes
    if identity is None or not (screening.reaches_back or reuse):
        return None
    # Chosen before any row is read, so that a run which ends meanwhile changes nothing.
    runs = runs_before(settings, identity, now, events.progress.note)
    window = None if screening.reaches_back else screening.max_age_minutes
    reusable = is_reusable(reuse, now, window)
    look_back = timedelta(days=settings.planner.look_back_days)

    def write(folder: Path, shards: int) -> Mapping[int, str]:
        events.progress.stage("recalling")
        answers = earlier_answers(runs, now, look_back, events.progress.note)
        batches = (batch.with_columns(reusable=reusable) for batch in _reported(answers, events))
        held_bytes = int(HELD_BYTES * settings.output.memory_share)
        number = number_column(id_key_of(identity.settings))
        return write_history(batches, folder, shards, held_bytes, number)

    return write


def opened(sources: Sequence[InputFile], settings: Settings) -> tuple[Table, list[PhoneColumn]]:
    """The sources as one table, and its phone columns."""
    named = any(source.name for source in sources)
    names = [source.name or as_text(source.place.name) for source in sources] if named else None
    places = [source.place for source in sources]
    table = open_table([s.path for s in sources], settings.input, names, places=places)
    region = settings.input.default_region
    return table, [
        PhoneColumn(names, Normaliser(settings.numbers, region, kind))
        for names, kind in zip(table.names, table.kinds, strict=True)
    ]


def refuse_kept_numbers(table: Table) -> None:
    """Raises ``ConfigurationError`` where a phone column is kept, though ids stand for numbers."""
    kept = [name for name in table.phone_columns if f"{KEPT_PREFIX}{name}" in table.kept]
    if kept:
        named = ", ".join(f"'{plain(name, 60)}'" for name in kept)
        raise ConfigurationError(
            f"--keep-columns keeps the phone column {named}, whose numbers ids are to hide; name "
            "the other columns"
        )


def unchanged(
    table: Table, sources: Sequence[InputFile], digests: Sequence[str], share: float
) -> Iterator[pl.DataFrame]:
    """The table's rows; ends with an error, and so with no plan, if a file changed meanwhile."""
    # In the stream, for the plan appears right after its last batch.
    yield from table.batches(int(BATCH_ROWS * share))
    for source, expected in zip(sources, digests, strict=bool(digests)):
        name = source.remote.address if source.remote else source.name
        refuse_changed(source.path, expected, name or "")


def opt_outs(settings: Settings, events: RunEvents, identity: Identity | None = None) -> pl.Series:
    """The digits of the numbers that are never asked about."""
    listed = opt_out_list(settings)
    if listed is None:
        return NOBODY
    events.progress.stage("opting out")
    found = listed_numbers(listed, settings, events)
    if identity:
        name = listed.name or str(listed.path)
        refuse_changed(listed.path, identity.settings[OPT_OUT_FILE], name)
    events.progress.stage("reading")
    return found


def listed_numbers(
    listed: InputFile, settings: Settings, events: RunEvents, therefore: str = ""
) -> pl.Series:
    """The digits of the numbers on a list, every cell of which must be one.

    ``therefore`` is what a cell that is none leads to, where that is not what an opt-out list does.
    """
    path, name = listed.path, listed.name or str(listed.path)
    found = [NOBODY]
    for table in open_listed(path, name, settings.input):
        cells = OptOutCells(_reported(table.batches(), events), table.kinds[0], name)
        cells = cells._replace(therefore=therefore or cells.therefore)
        found.append(read_opt_outs(cells, settings.numbers, settings.input.default_region))
        for note in table.notes:
            events.progress.note(f"{name}: {note}")
    return pl.concat(found).unique().sort()


def _reported(batches: Iterator[pl.DataFrame], events: RunEvents) -> Iterator[pl.DataFrame]:
    """The batches; progress is reported after each."""
    for batch in batches:
        yield batch
        events.advance(batch.height)


def judged(
    batches: Iterable[pl.DataFrame], columns: Sequence[PhoneColumn], opted_out: pl.Series = NOBODY
) -> AbstractContextManager[Iterator[pl.DataFrame]]:
    """The batches with normalised numbers, after the restrictions on who may be asked about.

    A row whose cells may be shifted is turned down, whatever was in them.
    """
    is_whole = ~pl.col("ragged")
    answers = {name: pl.when(is_whole).then(name) for name in ADDED_COLUMNS}
    reason = pl.when(is_whole).then("reject_reason").otherwise(pl.lit(RejectReason.RAGGED_ROW))
    shifted = answers | {"reject_reason": reason}

    def judge(batch: pl.DataFrame) -> pl.DataFrame:
        numbers = permit(_normalised(batch, columns), columns[0].normaliser.settings, opted_out)
        return numbers.with_columns(**shifted) if numbers["ragged"].any() else numbers

    return ordered_map(judge, batches)


def _normalised(batch: pl.DataFrame, columns: Sequence[PhoneColumn]) -> pl.DataFrame:
    """The batch with its numbers, each cell read as its column is stored and written."""
    parts = []
    for names, normaliser, counter in columns:
        cells = batch if len(columns) == 1 else batch.filter(pl.col("phone_column").is_in(names))
        parts.append(normalise_frame(cells, normaliser))
        if counter:
            counter.add(parts[-1])
    return parts[0] if len(parts) == 1 else pl.concat(parts).sort("row_index")


def _nothing_usable(plan: Plan) -> str:
    if not plan.rejected:
        return "the input holds no rows"
    counts = ", ".join(f"{reason} {rows}" for reason, rows in list(plan.rejected.items())[:3])
    main = RejectReason(next(iter(plan.rejected)))
    return (
        f"none of the {plan.rows} rows holds a usable number in column "
        f"'{plain(plan.facts['phone_column'], 60)}' ({counts}); {REMEDY[main]}"
    )
