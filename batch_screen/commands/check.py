"""Check: profiles the input up to a plan that is thrown away.

Streams, as a run does; what is kept meanwhile lies in a temporary folder that only its owner
can read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import polars as pl

from batch_screen.config.paths import refuse_address
from batch_screen.config.settings import Settings
from batch_screen.errors import ConfigurationError
from batch_screen.input.files import expand
from batch_screen.input.layout import shown
from batch_screen.input.table import Table
from batch_screen.job import Job
from batch_screen.masking import mask_text, plain
from batch_screen.model import ColumnKind, Plan
from batch_screen.numbers.rules import RejectReason
from batch_screen.planning.build import (
    InputFile,
    PhoneColumn,
    Read,
    by_convention,
    on_disk,
    opt_out_list,
    opt_outs,
)
from batch_screen.planning.shards import make_plan, read_rows, rejects_path
from batch_screen.profile.facts import (
    CheckReport,
    ConventionFacts,
    DigitsAdvice,
    PhoneColumnFacts,
    RegionAdvice,
    tallied,
)
from batch_screen.profile.files import file_facts
from batch_screen.profile.fixes import fixes
from batch_screen.profile.regions import Undecided, advise, advise_digits, candidates, read_in
from batch_screen.profile.rejects import parts, rejected, write_rejects
from batch_screen.profile.tally import ListTally, count_numbers
from batch_screen.runs.events import RunEvents
from batch_screen.storage.atomic import check_file
from batch_screen.storage.partition import HELD_BYTES
from batch_screen.storage.scratch import scratch_folder
from batch_screen.tables.sheets import check_suffix

_LONGEST_NOTE = 400


def check(job: Job, events: RunEvents | None = None, *, rejects: Path | None = None) -> CheckReport:
    """Profiles the inputs; sends nothing and changes no state.

    ``rejects`` is a .csv, .xlsx or .parquet file to write the rejected rows to. Raises
    ``InputError`` where nothing can be read; a list without one usable number is no error here.
    """
    events = events or RunEvents()
    if rejects is not None:
        _check_target(rejects, job.inputs)
    notes: list[str] = []
    sources = expand(job.inputs, excluded=job.excluded, note=notes.append)
    with (
        scratch_folder() as scratch,
        on_disk(sources, scratch, events) as files,
    ):
        if rejects is not None:
            listed = opt_out_list(job.settings)
            read = [file.path for file in files] + ([listed.path] if listed else [])
            if rejects.exists() and any(p.exists() and p.samefile(rejects) for p in read):
                raise ConfigurationError(
                    f"--rejects {rejects}: this is an input, which would be lost; name another file"
                )
        events.progress.stage("reading")
        found = _checked(files, job.settings, scratch / "plan", events, rejects)
        notes = [mask_text(plain(note, _LONGEST_NOTE)) for note in (*notes, *found.notes)]
        return msgspec.structs.replace(found, notes=notes)


def _check_target(rejects: Path, inputs: Sequence[str]) -> None:
    """Raises if the file cannot be written, or would be read as input the next time."""
    refuse_address(rejects, "--rejects")
    check_suffix(rejects, "--rejects")
    folder = rejects.absolute().parent
    if folder.exists() and any(Path(i).is_dir() and folder.samefile(i) for i in inputs):
        raise ConfigurationError(
            f"--rejects {rejects}: it would lie among the inputs and be read as one; name a file "
            "in another folder"
        )
    check_file(rejects, "--rejects")


def _checked(
    files: Sequence[InputFile],
    settings: Settings,
    folder: Path,
    events: RunEvents,
    rejects: Path | None,
) -> CheckReport:
    share = settings.output.memory_share

    def read(
        table: Table, batches: Iterable[pl.DataFrame], columns: Sequence[PhoneColumn]
    ) -> tuple[Plan, ListTally]:
        tally = ListTally(columns[0].normaliser, _stored_as(table))
        plan = make_plan(
            map(tally.counted, batches),
            folder,
            shard_rows=settings.output.shard_rows(endpoints=1),
            held_bytes=int(HELD_BYTES * share),
            facts={},
            on_rows=events.advance,
            phone_columns=table.phone_columns,
            expected_rows=table.expected_rows(),
        )
        return plan, tally

    opted_out = opt_outs(settings, events)
    found = by_convention(files, settings, read, events, opted_out=opted_out)
    if rejects is not None:
        write_rejects(rejects, parts(rejects_path(folder)))
    return _facts(found, settings, folder)


def _facts(found: Read[tuple[Plan, ListTally]], settings: Settings, folder: Path) -> CheckReport:
    table, (plan, tally) = found.table, found.result
    files = file_facts(
        table, settings.input, found.columns[0].normaliser, tally.rows, tally.accepted
    )
    rejects = rejected(plan.rejected, parts(rejects_path(folder)))
    damage = tally.damage.found()
    region, digits = _advice(tally.undecided, settings, table.kinds[0])
    # Of several phone columns most may be empty: that is no fault of the list.
    empty = {RejectReason.EMPTY} if len(table.phone_columns) > 1 else set()
    to_fix = [each for each in rejects if each.reason not in empty]
    return CheckReport(
        files=files,
        phone_column=", ".join(map(shown, table.phone_columns)),
        region_column=shown(table.region_column or ""),
        default_region=settings.input.default_region,
        rows=plan.rows,
        accepted=plan.accepted,
        rejected=plan.rows - plan.accepted,
        rejects=rejects,
        rules=tallied(tally.rules, plan.accepted),
        numbers=count_numbers(read_rows(folder, plan, n) for n in range(len(plan.shards))),
        damage=damage,
        conventions=[
            ConventionFacts(
                region, *rows, column.conventions.get(region, ""), shown(column.names[0])
            )
            for column, evidence in zip(found.columns, found.evidence, strict=True)
            for region, rows in evidence.items()
        ],
        region_advice=region,
        fixes=fixes(to_fix, files, damage, region, digits, tally.undecided.rejected),
        notes=[*table.notes],
        phone_columns=[
            PhoneColumnFacts(shown(name), *msgspec.structs.astuple(rows))
            for name, rows in plan.phone_columns.items()
        ],
        digits_advice=digits,
    )


def _stored_as(table: Table) -> ColumnKind:
    """How the phone columns are stored: as text, unless one of them is not."""
    return next((kind for kind in table.kinds if kind is not ColumnKind.TEXT), ColumnKind.TEXT)


def _advice(
    undecided: Undecided, settings: Settings, kind: ColumnKind
) -> tuple[RegionAdvice | None, DigitsAdvice | None]:
    """What would read the rejected digits: a default region, or that they have a country code."""
    if not undecided.rejected:
        return None, None
    if digits := advise_digits(undecided, settings.numbers, kind):
        return None, digits
    current = settings.input.default_region
    tried = [*dict.fromkeys((*filter(None, [current]), *candidates(undecided.seen)))]
    numbers = settings.numbers
    allowed = numbers.allowed_regions or tried
    tried = [r for r in tried if r in allowed and r not in numbers.denied_regions]
    readings = read_in(tried, undecided.sample, numbers, kind)
    return advise(readings, undecided.seen, undecided.rejected, current), None
