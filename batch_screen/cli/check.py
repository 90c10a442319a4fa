"""``batch-screen check``: shows the content and damage of a list; sends nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import batch_screen
from batch_screen.cli.console import print_json, print_text, unwind_on_signals
from batch_screen.cli.options import job_of
from batch_screen.cli.progress import watcher
from batch_screen.cli.run_block import column_lines
from batch_screen.cli.text import (
    TEXT_COLUMN,
    WIDTH,
    aligned,
    apart,
    below,
    count_line,
    fitting,
    labelled,
)
from batch_screen.config.settings import Settings
from batch_screen.errors import InputError
from batch_screen.input.columns import FoundBy
from batch_screen.masking import plain, safe_text
from batch_screen.model import ColumnRows
from batch_screen.numbers.convention import Convention
from batch_screen.numbers.rules import NO_COUNTRY, RejectReason
from batch_screen.profile.damage import MEANING, Damage
from batch_screen.profile.facts import (
    CheckReport,
    ColumnFacts,
    ConventionFacts,
    Damaged,
    FileFacts,
    Fix,
    Frequency,
    NumberFacts,
    PhoneColumnFacts,
    RegionAdvice,
    Rejected,
    RejectedCell,
)
from batch_screen.profile.files import CSV, EXCEL, PARQUET, TEXT
from batch_screen.profile.regions import Ground
from batch_screen.reports.words import parted
from batch_screen.runs.events import RunEvents

_FILES = 5
_COLUMNS = 12
_REGIONS = 8
_FIXES = 8
_LISTED = 6
_LEFT = 40
_REASON = 20
_NAME = 20
_BOTH = re.compile(r"national (\S+), international (\S+)")

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "pipes"}
_FOUND_BY = {
    FoundBy.OPTION: "as you named it",
    FoundBy.NAME: "by its name",
    FoundBy.CONTENT: "by its content",
    FoundBy.ONLY_COLUMN: "the only column",
}
_READ_AS = {
    Convention.NATIONAL: "these are read as national numbers",
    Convention.INTERNATIONAL: "these are read with the country code",
    "": "these are rejected, for the others are too few or do not agree",
}
_GROUNDS = {
    Ground.ONLY_FIT: "no other region would read half of them as other numbers",
    Ground.LIST: "nine in ten of the list's international numbers are from there",
}


class _Many(NamedTuple):
    """Whether there are several files, and several phone columns, so that rows name theirs."""

    files: bool
    columns: bool


def check(*, settings: Settings, rejects: Path | None, as_json: bool, **options: Any) -> None:
    """Prints the check report. Raises ``InputError`` if no row is usable."""
    job = job_of(options, settings)
    unwind_on_signals()
    with watcher(settings.output.heartbeat_seconds) as progress:
        found = batch_screen.check(job, RunEvents(progress), rejects=rejects)
    if as_json:
        print_json(found)
    else:
        print_text(check_block(found, rejects))
    if not found.accepted:
        raise InputError(
            f"none of the {found.rows:,} rows holds a usable number; the report above says what "
            "to fix first"
        )


def check_block(found: CheckReport, rejects_file: Path | None = None) -> str:
    """The check report as text."""
    many = _Many(len(found.files) > 1, len(found.phone_columns) > 1)
    sums = f"{found.rows:,} = {found.accepted:,} accepted and {found.rejected:,} rejected"
    region = f"; {found.default_region} where a row names no region" if found.default_region else ""
    rules = ", ".join(f"{each.name} {each.count:,}" for each in found.rules)
    lines = [
        "check: nothing was sent",
        "",
        *_files(found.files),
        *(line for note in found.notes for line in labelled("note", note)),
        *labelled("rows", f"{sums}{region}"),
        *column_lines({each.name: _rows_of(each) for each in found.phone_columns}),
        *_numbers(found.numbers),
        *(labelled("read as", rules) if rules else []),
        *apart(_rejects(found, many=many)),
        *_ambiguous(found.rejects, many=many),
        *apart(_damage(found.damage)),
        *apart(_conventions(found.conventions, many=many)),
        *_region(found.region_advice),
        *apart(_fixes(found.fixes)),
    ]
    if rejects_file is not None:
        lines += labelled("rejects", f"{safe_text(str(rejects_file))}, {found.rejected:,} rows")
    return "\n".join(lines)


def _files(files: Sequence[FileFacts]) -> Iterator[str]:
    for file in files[:_FILES]:
        yield from labelled("file", file.name)
        yield from below(f"{_format(file)}; {file.rows:,} rows")
        yield from below(_columns(file))
    rest = files[_FILES:]
    if rest:
        rows = sum(file.rows for file in rest)
        yield from labelled("files", f"{len(rest):,} more with {rows:,} rows")


def _format(file: FileFacts) -> str:
    packed = f" in {file.compression}" if file.compression else ""
    header = "a header" if file.has_header else "no header"
    if file.format == EXCEL:
        return f"Excel, sheet {file.sheet!r}, {header}"
    if file.format != CSV:
        return f"Parquet{packed}"
    delimiter = _DELIMITERS.get(file.delimiter, f"{file.delimiter!r} between cells")
    encoding = file.encoding
    for name, shown in (("windows", "Windows"), ("utf", "UTF"), ("ascii", "ASCII")):
        encoding = encoding.replace(name, shown)
    guess = " (as it is no UTF-8)" if file.encoding == "windows-1252" else ""
    misread = ", with misread letters" if file.is_misread else ""
    return f"CSV{packed}, {encoding}{guess}{misread}, {delimiter}, {header}"


def _columns(file: FileFacts) -> str:
    shown = [c for i, c in enumerate(file.columns) if i < _COLUMNS or c.role]
    names = ", ".join(_column(column, file) for column in shown)
    left = len(file.columns) - len(shown)
    return f"columns: {names}" + (f" and {left:,} more" if left else "")


def _column(column: ColumnFacts, file: FileFacts) -> str:
    if column.role == "phone":
        by = _FOUND_BY[FoundBy(file.phone_column_by)]
        kind = "" if column.type == TEXT else f", {column.type}"
        return f"{column.name} (the numbers, {by}{kind})"
    return f"{column.name} (the regions)" if column.role == "region" else column.name


def _numbers(numbers: NumberFacts) -> Iterator[str]:
    text = f"{numbers.unique:,} unique, {numbers.duplicate_rows:,} rows are duplicates"
    if numbers.repeated:
        text += (
            f"; {numbers.repeated:,} numbers stand in more than one row, the most frequent in "
            f"{numbers.most_rows:,}"
        )
    yield from labelled("numbers", text)
    left = [
        f"{count_line(t.count, 'no country' if t.name == NO_COUNTRY else t.name):<{_LEFT - 7}}"
        f"{t.share:>6.1%}"
        for t in _main(numbers.regions)
    ]
    right = [f"{t.count:>9,}  {t.name:<20} {t.share:>6.1%}" for t in _main(numbers.types)]
    for one, other in zip_longest(left, right, fillvalue=""):
        yield f"{one:<{_LEFT}}{other}".rstrip()


def _main(tallied: Sequence[Frequency]) -> list[Frequency]:
    """The first few, and one entry with the sum of the others."""
    shown, rest = parted(tallied, _REGIONS)
    count, share = sum(t.count for t in rest), sum(t.share for t in rest)
    return [*shown, Frequency(f"others ({len(rest)})", count, share)] if rest else shown


def _rows_of(column: PhoneColumnFacts) -> ColumnRows:
    return ColumnRows(column.rows, column.accepted, column.rejected, column.empty)


def _rejects(found: CheckReport, *, many: _Many) -> Iterator[str]:
    if not found.rejects:
        return
    has_header = any(f.format != PARQUET and f.has_header for f in found.files)
    where = "below the header" if has_header else "from 1"
    yield from labelled("rejected", f"examples by reason; rows are counted {where}")
    for each in found.rejects:
        room = WIDTH - TEXT_COLUMN - _REASON - 2
        examples = fitting((_example(e, many=many) for e in each.examples), room)
        yield count_line(each.rows, f"{each.reason:<{_REASON}}  {examples}").rstrip()


def _example(example: RejectedCell, *, many: _Many) -> str:
    region = f" in {example.raw_region!r}" if len(example.raw_region) > 2 else ""
    cell = f": {example.raw_masked}" if example.raw_masked else ""
    return _where(example, many=many) + region + cell


def _where(example: RejectedCell, *, many: _Many) -> str:
    row = f"row {example.source_row:,}"
    if many.columns:
        row = f"{row} {plain(example.phone_column, _NAME)}"
    return f"{plain(example.source_file, _NAME)} {row}" if many.files else row


def _ambiguous(rejects: Sequence[Rejected], *, many: _Many) -> Iterator[str]:
    for each in rejects:
        if each.reason == RejectReason.AMBIGUOUS and each.examples:
            text = "the first of them as national and international numbers:"
            yield from labelled("ambiguous", text)
            rows = []
            for example in each.examples:
                both = _BOTH.fullmatch(example.detail)
                readings = both.groups() if both else (example.detail,)
                rows.append((f"{_where(example, many=many)}: {example.raw_masked}", *readings))
            yield from aligned(rows)


def _damage(damage: Damaged) -> Iterator[str]:
    if damage.spreadsheet_cells:
        share = f"{damage.spreadsheet_share:.1%} of {damage.filled_cells:,} filled cells"
        yield from labelled("damage", f"{share} look like they went through a spreadsheet")
    elif damage.kinds:
        yield from labelled("damage", f"in {damage.filled_cells:,} filled cells:")
    else:
        yield from labelled("damage", "none is seen")
    for kind in damage.kinds:
        yield count_line(kind.count, f"{MEANING[Damage(kind.name)]:<56} {kind.share:>6.1%}")
    if damage.stored_as != TEXT:
        yield from below(f"the column is stored as {damage.stored_as}s: + and zeros are lost")


def _conventions(conventions: Sequence[ConventionFacts], *, many: _Many) -> Iterator[str]:
    """How the list writes digits without a + or a zero, where some of them are ambiguous."""
    doubtful = [each for each in conventions if each.doubtful]
    for each in doubtful[:_REGIONS]:
        column = f"{each.phone_column}, " if many.columns else ""
        rows = (
            f"{column}{each.region}: {each.national:,} rows without the country code, "
            f"{each.international:,} with it and {each.doubtful:,} that could be either"
        )
        yield from labelled("written", f"{rows}: {_READ_AS[each.convention]}")
    if doubtful[_REGIONS:]:
        yield from below(f"and {len(doubtful[_REGIONS:])} more regions (--json)")


def _region(advice: RegionAdvice | None) -> Iterator[str]:
    if advice is None:
        return
    if advice.region:
        reasons = "; ".join(_GROUNDS[Ground(ground)] for ground in advice.grounds)
        alike = f" ({_listed(advice.alike)} would take most of them too)" if advice.alike else ""
        yield from labelled("region", f"{advice.region} is suggested: {reasons}{alike}")
    elif advice.alike:
        mobile = f"; only in {advice.mobile_in} most are mobile" if advice.mobile_in else ""
        text = f"none is suggested, for the numbers are valid in {_listed(advice.alike)}{mobile}"
        yield from labelled("region", text)


def _listed(names: Sequence[str]) -> str:
    shown, rest = parted(names, _LISTED)
    names = [*shown, *([f"{len(rest)} others"] if rest else [])]
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]


def _fixes(fixes: Sequence[Fix]) -> Iterator[str]:
    if not fixes:
        yield from labelled("to fix", "nothing")
        return
    yield from labelled("to fix", "what would save the most rows comes first:")
    for fix in fixes[:_FIXES]:
        first, *more = below(fix.advice)
        yield count_line(fix.rows, first.strip()) if fix.rows else first
        yield from more
    rest = fixes[_FIXES:]
    if rest:
        yield from below(f"and {len(rest)} more for {sum(f.rows for f in rest):,} rows (--json)")
