"""The plan of a retry: a complete run's rows and answers without the lookups to ask again.

Made from the run's tables alone, shard by shard: neither its input nor its state need be there
any more. What is carried over keeps its own time.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import polars as pl
from msgspec.structs import replace

from batch_screen.masking import mask_number
from batch_screen.model import (
    NOT_NEEDED,
    SPARED,
    AnswerSource,
    ColumnRows,
    Endpoint,
    Erasure,
    OutcomeKind,
    Plan,
    ShardPlan,
)
from batch_screen.numbers.restrict import NOBODY, is_listed
from batch_screen.numbers.rules import RejectReason
from batch_screen.planning.history import KNOWN
from batch_screen.planning.opt_outs import OptOuts, keep_opt_outs
from batch_screen.planning.rows import RowCounter
from batch_screen.planning.shards import (
    carried_path,
    growing_plan,
    history_path,
    read_carried,
    read_rows,
    rejects_path,
    shard_rows_path,
)
from batch_screen.runs.events import RunEvents
from batch_screen.runs.layout import ERRORS, LOOKUPS, RESULTS, Layout
from batch_screen.schema import ERRORS as ERROR_COLUMNS
from batch_screen.schema import (
    IDENTITY,
    KEPT_PREFIX,
    LOOKUP,
    NUMBER_ID,
    PHONE_COLUMN,
    REJECT,
    Column,
    conform,
    dtypes,
)
from batch_screen.schema import LOOKUPS as LOOKUP_COLUMNS
from batch_screen.storage.atomic import sha256_of, write_frame
from batch_screen.storage.parquet import row_groups
from batch_screen.storage.partition import RowGroupWriter
from batch_screen.storage.records import write_record
from batch_screen.tables.reader import Unit, units

OBJECTED_SINCE = "objected after the run had been planned"
"""Detail of a row whose number has joined the opt-out list between a plan and its run's end."""

_KEY = ["e164", "endpoint"]
_CHECK_OF = {e.value: e.check.value for e in Endpoint if e.answers_date}


class MissingNumbersError(Exception):
    """Ids in a run's tables whose numbers nobody has."""


class CarriedRun:
    """The tables of a complete run, some of whose lookups are to be asked again.

    Numbers that have ``opted_out`` since are left out, whatever their outcomes. Where ids stand for
    numbers in the tables, ``numbers`` has those of each shard, ``number_id`` and ``e164``.
    """

    def __init__(
        self,
        layout: Layout,
        shards: int,
        outcomes: Collection[OutcomeKind],
        opt_outs: OptOuts | None = None,
        numbers: Callable[[int], pl.DataFrame] | None = None,
    ) -> None:
        """Raises ``DamagedPartError``."""
        self._numbers = numbers
        self.layout = layout
        self.shards = shards
        self._outcomes = [kind.value for kind in outcomes]
        self._opt_outs = opt_outs
        self._opted_out = opt_outs.numbers if opt_outs else NOBODY
        tables = {table: units(layout, table, shards) for table in (RESULTS, LOOKUPS, ERRORS)}
        self._results, self._lookups, self._errors = tables.values()

    def failures(self) -> Counter[tuple[str, str]]:
        """(endpoint, outcome) → lookups to ask again. Raises ``DamagedPartError``."""
        found: Counter[tuple[str, str]] = Counter()
        wanted = (*_KEY, "outcome", "reason", *([NUMBER_ID.name] if self._numbers else []))
        columns = (*(c for c in LOOKUP_COLUMNS if c.name in wanted),)
        for shard in range(self.shards):
            lookups = self._allowed(self._read(self._lookups, shard, columns))
            counted = lookups.filter(self._is_failure()).group_by("endpoint", "outcome").len()
            found.update({(name, outcome): n for name, outcome, n in counted.iter_rows()})
        return found

    def plan(  # noqa: PLR0913, PLR0917 (what a summary says of the run, and whose place it takes)
        self,
        folder: Path,
        facts: Mapping[str, str],
        phone_columns: Sequence[str],
        supersedes: Sequence[str],
        left_out: int,
        erased: Sequence[Erasure],
        events: RunEvents,
    ) -> Plan:
        """Writes the plan of the retry into ``folder``. Raises ``DamagedPartError``."""
        counter = RowCounter()
        shards: list[ShardPlan] = []
        kept: list[str] = []
        with growing_plan(folder) as growing:
            with RowGroupWriter(rejects_path(growing)) as writer:
                for shard in range(self.shards):
                    rows = counter.without_nul(self._read(self._results, shard, None))
                    is_out = is_listed(rows["e164"], self._opted_out)
                    rejects = self._rejects(shard, rows.filter(is_out))
                    if rejects.height or not shard:  # a plan with rejects of no shard has a file
                        writer.add(rejects)
                    counter.add(rows.filter(~is_out), rejects)
                    shards.append(self._write_shard(growing, shard, rows.filter(~is_out)))
                    kept = kept or [n for n in rows.columns if n.startswith(KEPT_PREFIX)]
                    events.advance(rows.height)
            accepted, rejected = sum(each.rows for each in shards), counter.by_reason
            plan = Plan(
                rows=accepted + sum(rejected.values()),
                accepted=accepted,
                rejected=rejected,
                rejects_sha256=sha256_of(rejects_path(growing)),
                shards=shards,
                kept=kept,
                facts=dict(facts),
                left_out=left_out,
                supersedes=list(supersedes),
                phone_columns=counter.by_column(phone_columns),
                nul_cells=counter.nul_cells,
                erased=list(erased),
                **keep_opt_outs(growing, self._opt_outs),
            )
            write_record(growing / "plan.json", plan)
        return plan

    def _write_shard(self, folder: Path, shard: int, rows: pl.DataFrame) -> ShardPlan:
        columns = (*IDENTITY, PHONE_COLUMN, *([NUMBER_ID] if self._numbers else []))
        identity = [c.name for c in columns if c.name != "run_id"]
        own = rows.select(pl.col(f"^{KEPT_PREFIX}.*$"), *identity)
        write_frame(shard_rows_path(folder, shard), own)
        lookups = self._allowed(self._read(self._lookups, shard, LOOKUP_COLUMNS))
        again = self._asked_again(lookups)
        carried = lookups.join(again, on=_KEY, how="anti")
        write_frame(carried_path(folder, shard), _carried(carried, self.layout.run_id))
        past = _observed(lookups.join(again, on="e164", how="semi"))
        if past.height:
            write_frame(history_path(folder, shard), past)
        return ShardPlan(
            own.height,
            own["e164"].n_unique(),
            sha256=sha256_of(shard_rows_path(folder, shard)),
            history_sha256=sha256_of(history_path(folder, shard)) if past.height else "",
            carried=carried.height,
            carried_sha256=sha256_of(carried_path(folder, shard)),
        )

    def _read(
        self, found: Mapping[int, Unit], shard: int, columns: tuple[Column, ...] | None
    ) -> pl.DataFrame:
        """The shard's rows of a table, each with its number."""
        rows = _read(found, shard, columns)
        if self._numbers is None:
            return rows
        id_of = NUMBER_ID.name
        both = rows.drop("e164").join(
            self._numbers(shard), on=id_of, how="left", maintain_order="left"
        )
        if both["e164"].has_nulls():
            raise MissingNumbersError
        return both

    def _rejects(self, shard: int, objected: pl.DataFrame) -> pl.DataFrame:
        """The shard's rejects, and rows of people who have objected since."""
        errors = _read(self._errors, shard, ERROR_COLUMNS)
        before = errors.filter(pl.col("kind") == "reject").select(dtypes(REJECT).names())
        return pl.concat([before, _objected(objected)])

    def _allowed(self, lookups: pl.DataFrame) -> pl.DataFrame:
        return lookups.filter(~is_listed(lookups["e164"], self._opted_out))

    def _is_failure(self) -> pl.Expr:
        is_spared = pl.col("reason").is_in([*SPARED]).fill_null(value=False)
        return pl.col("outcome").is_in(self._outcomes) & ~is_spared

    def _asked_again(self, lookups: pl.DataFrame) -> pl.DataFrame:
        """Keys of the failed lookups, and of dates that were skipped because of them."""
        failed = lookups.filter(self._is_failure()).select(_KEY)
        # By now the check's window may not reach back far enough any more: then its date decides.
        dates = lookups.filter(pl.col("reason") == NOT_NEEDED).with_columns(
            endpoint=pl.col("endpoint").replace(_CHECK_OF), date="endpoint"
        )
        open_again = dates.join(failed, on=_KEY, how="semi").select("e164", endpoint="date")
        return pl.concat([failed, open_again])


def drop_objected(
    folder: Path,
    plan: Plan,
    target: Path,
    opt_outs: OptOuts,
    events: RunEvents,
) -> Plan:
    """Writes the plan in ``folder`` anew as ``target``, without numbers on the opt-out list.

    Their rows become rejects. Shards and their numbers stay, so what others were answered counts.
    """
    shards: list[ShardPlan] = []
    rows, numbers, counter = 0, 0, RowCounter()
    with growing_plan(target) as growing:
        with RowGroupWriter(rejects_path(growing)) as writer:
            for group in row_groups(rejects_path(folder)):
                writer.add(group)
            for shard, planned in enumerate(plan.shards):
                before = read_rows(folder, plan, shard)
                is_out = is_listed(before["e164"], opt_outs.numbers)
                dropped = before.filter(is_out)
                if dropped.height:
                    writer.add(_objected(dropped))
                    counter.add(dropped, dropped.clear().with_columns(reason=pl.lit("")))
                    rows += dropped.height
                    numbers += dropped["e164"].n_unique()
                shards.append(_shard_without(folder, growing, plan, shard, before.filter(~is_out)))
                events.advance(planned.rows)
        reason = RejectReason.OPTED_OUT.value
        moved = counter.by_column([*plan.phone_columns])
        columns = {
            name: each + ColumnRows(0, -moved[name].accepted, moved[name].accepted, 0)
            for name, each in plan.phone_columns.items()
        }
        found = replace(
            plan,
            accepted=plan.accepted - rows,
            rejected={**plan.rejected, reason: plan.rejected.get(reason, 0) + rows},
            rejects_sha256=sha256_of(rejects_path(growing)),
            shards=shards,
            objected=plan.objected + numbers,
            phone_columns=columns,
            **keep_opt_outs(growing, opt_outs),
        )
        write_record(growing / "plan.json", found)
    return found


def _shard_without(
    folder: Path, growing: Path, plan: Plan, shard: int, rows: pl.DataFrame
) -> ShardPlan:
    """The shard with these of its rows; what earlier runs say of others does no harm."""
    planned, path = plan.shards[shard], shard_rows_path(growing, shard)
    if planned.history_sha256:
        shutil.copyfile(history_path(folder, shard), history_path(growing, shard))
    carried = read_carried(folder, plan, shard).join(rows, on="e164", how="semi")
    if planned.carried_sha256:
        write_frame(carried_path(growing, shard), carried)
    write_frame(path, rows)
    return replace(
        planned,
        rows=rows.height,
        unique_numbers=rows["e164"].n_unique(),
        sha256=sha256_of(path),
        carried=carried.height,
        carried_sha256=sha256_of(carried_path(growing, shard)) if planned.carried_sha256 else "",
    )


def _objected(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of a plan as rejects (``schema.REJECT``)."""
    masked = [mask_number(number) for number in rows["e164"]]
    return conform(
        rows.with_columns(
            pl.Series("raw_masked", masked, dtype=pl.String),
            reason=pl.lit(RejectReason.OPTED_OUT.value),
            detail=pl.lit(OBJECTED_SINCE),
        ),
        REJECT,
    )


def _read(
    found: Mapping[int, Unit], shard: int, columns: tuple[Column, ...] | None
) -> pl.DataFrame:
    """The shard's rows of a table; without ``columns`` all there are, kept ones too."""
    names = None if columns is None else dtypes(columns).names()
    if shard not in found:  # the first shard's part is always there, and says which are kept
        if columns is not None:
            return pl.DataFrame(schema=dtypes(columns))
        return _read(found, min(found), None).clear()
    return pl.concat(found[shard].frames(names))


def _carried(lookups: pl.DataFrame, run_id: str) -> pl.DataFrame:
    """The outcomes as those of another run: with their own time, and no request of this run."""
    was_asked = pl.col("source") == AnswerSource.ASKED.value
    return conform(
        lookups.with_columns(
            source=pl.when(was_asked).then(pl.lit(AnswerSource.CARRIED.value)).otherwise("source"),
            source_run_id=pl.when(was_asked).then(pl.lit(run_id)).otherwise("source_run_id"),
            attempts=pl.lit(0),
            refusals=pl.lit(0),
            unanswered=pl.lit(0),
            latency_ms=pl.lit(None),
            correlator=pl.lit(None),
        ),
        LOOKUP,
    )


def _observed(lookups: pl.DataFrame) -> pl.DataFrame:
    """The history that these lookups were asked with, as far as windows reach back to it."""
    before = lookups.filter(pl.col("last_observed_at").is_not_null())
    return conform(
        before.select(
            *_KEY,
            outcome=pl.lit(OutcomeKind.SUCCESS.value),
            responded_at="last_observed_at",
            reusable=pl.lit(value=False),
        ),
        KNOWN,
    )
