"""The report that ``check`` prints: aligned at 80 columns, on a terminal and in a pipe.

What is printed is masked once more as a whole, and that takes figures side by side for one
number: between two of them there is always a word, a colon or a per cent sign.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from batch_screen.masking import plain
from batch_screen.numbers.rules import RejectReason
from batch_screen.reading.columns import FoundBy
from batch_screen.survey.damage import MEANING, Damage
from batch_screen.survey.facts import (
    Audit,
    ColumnFacts,
    Damaged,
    Example,
    FileFacts,
    Fix,
    Numbers,
    RegionAdvice,
    Rejected,
    Tallied,
)
from batch_screen.survey.files import CSV, TEXT
from batch_screen.survey.regions import Ground

WIDTH = 80
_LABEL = 14
_TEXT = 2 + _LABEL + 1
"""Where texts begin, and the names beside counts."""
_FILES = 5
_COLUMNS = 12
_REGIONS = 8
_FIXES = 8
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
_GROUNDS = {
    Ground.ONLY_FIT: "no other region would read half of them as other numbers",
    Ground.LIST: "nine in ten of the list's international numbers are from there",
}


def audit_block(found: Audit, rejects_file: Path | None = None) -> str:
    """What an audit found, and what to fix first."""
    many = len(found.files) > 1
    lines = [
        "check: nothing was sent",
        "",
        *_files(found.files),
        *_rows(found),
        *_numbers(found.numbers),
        *_rules(found.rules),
        *_apart(_rejects(found.rejects, many=many)),
        *_ambiguous(found.rejects, many=many),
        *_apart(_damage(found.damage)),
        *_region(found.region_advice),
        *_apart(_fixes(found.fixes)),
    ]
    if rejects_file is not None:
        lines += _line("rejects", f"{rejects_file}, {found.rejected:,} rows")
    return "\n".join(lines)


def _apart(lines: Iterable[str]) -> Iterator[str]:
    """The lines below an empty one, if there are any."""
    for number, line in enumerate(lines):
        yield from ([""] if number == 0 else [])
        yield line


def _line(label: str, text: str) -> list[str]:
    """A label and its text, wrapped below itself."""
    first = f"  {label + ' ':.<{_LABEL}} "
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=" " * _TEXT)


def _below(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * _TEXT, subsequent_indent=" " * _TEXT)


def _counted(count: int, text: str) -> str:
    """A count on the left of where texts begin."""
    return f"{count:>{_TEXT - 2},}  {text}"


def _files(files: Sequence[FileFacts]) -> Iterator[str]:
    for file in files[:_FILES]:
        yield from _line("file", file.name)
        yield from _below(f"{_format(file)}; {file.rows:,} rows")
        yield from _below(_columns(file))
    rest = files[_FILES:]
    if rest:
        rows = sum(file.rows for file in rest)
        yield from _line("files", f"{len(rest):,} more with {rows:,} rows")


def _format(file: FileFacts) -> str:
    if file.format != CSV:
        return "Parquet"
    header = "a header" if file.has_header else "no header"
    packed = f" in {file.compression}" if file.compression else ""
    delimiter = _DELIMITERS.get(file.delimiter, file.delimiter)
    return f"CSV{packed}, {_encoding(file)}, {delimiter}, {header}"


def _encoding(file: FileFacts) -> str:
    misread = ", with misread letters" if file.is_misread else ""
    guess = " (as it is no UTF-8)" if file.encoding == "windows-1252" else ""
    return file.encoding.replace("windows", "Windows").replace("utf", "UTF").replace(
        "ascii", "ASCII"
    ) + (guess + misread)


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


def _rows(found: Audit) -> list[str]:
    sums = f"{found.rows:,} = {found.accepted:,} accepted and {found.rejected:,} rejected"
    region = f"; {found.default_region} where a row names no region" if found.default_region else ""
    return _line("rows", sums + region)


def _numbers(numbers: Numbers) -> Iterator[str]:
    text = f"{numbers.unique:,} unique, {numbers.duplicate_rows:,} rows are duplicates"
    if numbers.repeated:
        text += (
            f"; {numbers.repeated:,} numbers stand in more than one row, the most frequent in "
            f"{numbers.most_rows:,}"
        )
    yield from _line("numbers", text)
    left = [
        f"{_counted(t.count, _place(t.name)):<{_LEFT - 7}}{t.share:>6.1%}"
        for t in _main(numbers.regions)
    ]
    right = [f"{t.count:>9,}  {t.name:<20} {t.share:>6.1%}" for t in _main(numbers.types)]
    for one, other in zip_longest(left, right, fillvalue=""):
        yield f"{one:<{_LEFT}}{other}".rstrip()


def _place(region: str) -> str:
    return "no country" if region == "001" else region


def _main(tallied: Sequence[Tallied]) -> list[Tallied]:
    """The first of them, and the sum of the others."""
    rest = tallied[_REGIONS:]
    if len(rest) < 2:
        return [*tallied]
    others = Tallied(
        f"others ({len(rest)})", sum(t.count for t in rest), sum(t.share for t in rest)
    )
    return [*tallied[:_REGIONS], others]


def _rules(rules: Sequence[Tallied]) -> list[str]:
    return _line("read as", ", ".join(f"{t.name} {t.count:,}" for t in rules)) if rules else []


def _rejects(rejects: Sequence[Rejected], *, many: bool) -> Iterator[str]:
    if not rejects:
        return
    yield from _line("rejected", f"{sum(r.rows for r in rejects):,} rows, by reason:")
    for each in rejects:
        room = WIDTH - _TEXT - _REASON - 2
        examples = _fitting((_example(e, many=many) for e in each.examples), room)
        yield _counted(each.rows, f"{each.reason:<{_REASON}}  {examples}").rstrip()


def _fitting(texts: Iterable[str], room: int) -> str:
    """As many of the texts as there is room for; the first one cut if need be."""
    line = ""
    for text in texts:
        longer = f"{line}, {text}" if line else text
        if line and len(longer) > room:
            break
        line = longer
    return line if len(line) <= room else line[: room - 1] + "…"


def _example(example: Example, *, many: bool) -> str:
    region = f" in {example.raw_region!r}" if len(example.raw_region) > 2 else ""
    cell = f": {example.raw_masked}" if example.raw_masked else ""
    return _where(example, many=many) + region + cell


def _where(example: Example, *, many: bool) -> str:
    row = f"row {example.source_row:,}"
    return f"{plain(example.source_file, _NAME)} {row}" if many else row


def _ambiguous(rejects: Sequence[Rejected], *, many: bool) -> Iterator[str]:
    for each in rejects:
        if each.reason == RejectReason.AMBIGUOUS and each.examples:
            yield from _line(
                "ambiguous", "the first of them as national and international numbers:"
            )
            yield from _aligned([_readings(example, many=many) for example in each.examples])


def _readings(example: Example, *, many: bool) -> tuple[str, ...]:
    """Where the row stands with its cell, then its two readings."""
    place = f"{_where(example, many=many)}: {example.raw_masked}"
    both = _BOTH.fullmatch(example.detail)
    return (place, *both.groups()) if both else (place, example.detail)


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
    for row in rows:
        cells = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=False))
        yield (" " * _TEXT + "  ".join(cells)).rstrip()


def _damage(damage: Damaged) -> Iterator[str]:
    if damage.spreadsheet_cells:
        share = f"{damage.spreadsheet_share:.1%} of {damage.filled_cells:,} filled cells"
        yield from _line("damage", f"{share} look like they went through a spreadsheet")
    elif damage.kinds:
        yield from _line("damage", f"in {damage.filled_cells:,} filled cells:")
    else:
        yield from _line("damage", "none is seen")
    for kind in damage.kinds:
        yield _counted(kind.count, f"{MEANING[Damage(kind.name)]:<56} {kind.share:>6.1%}")
    if damage.stored_as != TEXT:
        yield from _below(f"the column is stored as {damage.stored_as}: + and zeros are lost")


def _region(advice: RegionAdvice | None) -> Iterator[str]:
    if advice is None:
        return
    if advice.region:
        reasons = "; ".join(_GROUNDS[Ground(ground)] for ground in advice.grounds)
        alike = f" ({_listed(advice.alike)} would take most of them too)" if advice.alike else ""
        yield from _line("region", f"{advice.region} is suggested: {reasons}{alike}")
    elif advice.alike:
        mobile = f"; only in {advice.mobile_in} most are mobile" if advice.mobile_in else ""
        text = f"none is suggested, for the numbers are valid in {_listed(advice.alike)}{mobile}"
        yield from _line("region", text)
    else:
        yield from _line("region", "none is suggested, for most numbers agree on none")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]


def _fixes(fixes: Sequence[Fix]) -> Iterator[str]:
    if not fixes:
        yield from _line("to fix", "nothing")
        return
    yield from _line("to fix", "what would save the most rows comes first:")
    for fix in fixes[:_FIXES]:
        first, *more = _below(fix.advice)
        yield _counted(fix.rows, first.strip()) if fix.rows else first
        yield from more
    rest = fixes[_FIXES:]
    if rest:
        yield from _below(f"and {len(rest)} more for {sum(f.rows for f in rest):,} rows (--json)")
