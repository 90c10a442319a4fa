"""The closing block of ``run``: figures, pace, files, and what to do next."""

from __future__ import annotations

import glob
import json
import math
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from textwrap import wrap

from batch_screen.cli.diff import change_totals, cohort_words
from batch_screen.cli.hints import hints
from batch_screen.cli.text import below, labelled, line
from batch_screen.commands.run import RunResult
from batch_screen.config.parsing import threshold
from batch_screen.config.settings import Settings
from batch_screen.input.layout import shown
from batch_screen.masking import safe_text
from batch_screen.model import ColumnRows, Endpoint, Pace, Session
from batch_screen.reports.words import duration
from batch_screen.runs.layout import DATA_FOLDERS, Layout, writing_of
from batch_screen.runs.state import SANDBOX
from batch_screen.tables.coverage import Changes
from batch_screen.tables.summary import Judgement, LookupFigures, Rows, Summary

_SHOWN_REASONS = 6
_PYTHONS = ("python", "python3")


def closing_block(result: RunResult, settings: Settings) -> str:
    """The closing block of a run, in the style of load-testing tools."""
    summary, layout = result.summary, result.layout
    state = "was complete already, nothing was asked" if result.was_complete else "complete"
    if summary.is_stopped:
        state = "stopped, can be resumed"
    if summary.settings.get("api.base_url") == SANDBOX:
        state += " · sandbox answers, not real ones"
    unfinished = [
        line("files", f"{safe_text(str(layout.summary))}; results come with the end of the run")
    ]
    lines = [
        f"batch-screen {summary.version} · run {summary.run_id} · {state}",
        "",
        *rows_lines(summary.rows),
        *_lookups(summary),
        *_requests(summary, settings),
        *_superseded(summary),
        *_saved(summary),
        *_coverage(summary),
        *_pace(summary),
        *_since(summary.changes),
        *threshold_lines(summary),
        *(unfinished if summary.is_stopped else _files(layout)),
        *(f"  hint: {hint}" for hint in hints(summary, settings)),
    ]
    return "\n".join(lines)


def rows_lines(rows: Rows) -> Iterator[str]:
    """Lines on rows, reject reasons and unique numbers."""
    sums = f"{rows.accepted:,} accepted and {rows.rejected:,} rejected"
    yield line("rows", f"{rows.read:,} = {sums}")
    if rows.rejected:
        yield line("  rejected", _main_counts(rows.rejected_by_reason))
    yield from column_lines(rows.by_phone_column)
    yield line(
        "numbers", f"{rows.unique_numbers:,} unique, {rows.duplicates:,} rows are duplicates"
    )
    if rows.left_out:
        first = f"the first {rows.unique_numbers:,} numbers"
        yield line("limited", f"to {first}; {rows.left_out:,} rows below them were left out")
    if rows.nul_cells:
        yield line("dropped", f"U+0000 in {rows.nul_cells:,} kept cells: databases refuse it")


def column_lines(columns: Mapping[str, ColumnRows]) -> Iterator[str]:
    """The rows of each phone column, where there are several."""
    if len(columns) < 2:
        return
    names = {name: safe_text(shown(name)) for name in columns}
    width = max(map(len, names.values()))
    for name, rows in columns.items():
        yield (
            f"    {names[name]:{width}}  {rows.accepted:>10,} accepted, {rows.empty:,} empty, "
            f"{rows.rejected - rows.empty:,} rejected for other reasons"
        )


def _main_counts(counts: Mapping[str, int]) -> str:
    """The first few counts, and the sum of the others.

    >>> _main_counts(dict.fromkeys("abcdefgh", 2))
    'a 2, b 2, c 2, d 2, e 2, f 2 and 4 for 2 other reasons'
    """
    rest = list(counts.items())[_SHOWN_REASONS:]
    shown = _counts(dict(list(counts.items())[:_SHOWN_REASONS]))
    if not rest:
        return shown
    return f"{shown} and {sum(n for _, n in rest):,} for {len(rest)} other reasons"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _lookups(summary: Summary) -> Iterator[str]:
    totals: Counter[str] = Counter()
    for figures in summary.endpoints.values():
        totals.update(figures.by_outcome)
    sums = ", ".join(f"{count:,} {outcome}" for outcome, count in totals.items()) or "none"
    yield line("lookups", f"{summary.lookups:,} = {sums}")
    width = max((len(name) for name in summary.endpoints), default=0)
    for name, figures in summary.endpoints.items():
        yield f"    {name:{width}}  {_figures(name, figures)}"
    if summary.is_stopped:
        left = _counts({name: figures.left for name, figures in summary.endpoints.items()})
        yield line("left", f"{summary.left:,} lookups without an outcome: {left}")


def _figures(name: str, figures: LookupFigures) -> str:
    endpoint = Endpoint(name)
    positive = "dated" if endpoint.answers_date else "swapped"
    if endpoint is Endpoint.CALL_FORWARDING_CHECK:
        positive = "active"
    if not figures.total:
        return "nothing yet"
    latency = " ".join(f"{label}={ms:g}" for label, ms in figures.latency_ms.items())
    return f"{_counts(figures.by_outcome)} | {positive} {figures.positives:,} | ms {latency}"


def _requests(summary: Summary, settings: Settings) -> Iterator[str]:
    session = summary.session
    attempts = sum(figures.attempts for figures in summary.endpoints.values())
    refusals = sum(figures.refusals for figures in summary.endpoints.values())
    without = sum(f.derived + f.reused + f.carried + f.spared for f in summary.endpoints.values())
    retries = max(0, attempts - refusals - summary.lookups + without)
    asked = "lookups" if not without else "lookups that were asked"
    yield line(
        "requests", f"{attempts:,} = {asked}, {retries:,} retries and {refusals:,} refused (429)"
    )
    paces = (session.contracts or {}).values()
    allowed = sum(each.rate_per_second for each in paces) or settings.pacing.rate_per_second
    if session.asking_seconds >= 1:
        yield line(
            "rate",
            f"{session.rate_per_second:,.1f}/s over {duration(session.asking_seconds)}, "
            f"{allowed:g}/s allowed{' under all contracts' if session.contracts else ''}",
        )
    yield from _contracts(session)
    if crew := session.crew:
        lost = f"{crew.takeovers:,} takeovers, {crew.slots_lost:,} slots lost"
        yield line("workers", f"{crew.workers:,} under one contract; {lost}")
    if summary.cost:
        yield line("cost", f"at most {summary.cost:,.2f} {summary.currency}")


def _contracts(session: Session) -> Iterator[str]:
    """What was asked under each of several contracts."""
    contracts = session.contracts or {}
    width = max(map(len, contracts), default=0)
    for name, each in contracts.items():
        refused = f", {each.refused:,} refused" if each.refused else ""
        yield (
            f"    {name:{width}}  {each.attempts:>10,} requests{refused}, "
            f"{each.mean_per_second:,.1f}/s over {duration(each.seconds)}, "
            f"{each.rate_per_second:g}/s allowed{'; given up' if each.gave_up else ''}"
        )


def _superseded(summary: Summary) -> Iterator[str]:
    if summary.supersedes:
        carried = sum(figures.carried for figures in summary.endpoints.values())
        text = f"run {summary.supersedes[0]}, {carried:,} outcomes are carried over"
        yield line("supersedes", text)


def _saved(summary: Summary) -> Iterator[str]:
    """Requests saved by reuse and derivation."""
    saved = summary.saved
    if not (saved.requests or saved.dates_asked):
        return
    kinds = {name: getattr(saved, name) for name in ("derived", "reused", "unchanged")}
    text = f"{saved.requests:,} requests"
    if saved.requests:
        text += f" ({', '.join(f'{name} {count:,}' for name, count in kinds.items() if count)})"
    if saved.cost:
        text += f", {saved.cost:,.2f} {summary.currency}"
    if saved.dates_asked:
        text += f"; {saved.dates_asked:,} dates asked as well"
    yield line("saved", text)


def _coverage(summary: Summary) -> Iterator[str]:
    """How many numbers a check's windows observe without a gap."""
    for name, found in summary.coverage.items():
        text = f"{name}: {found.without_gap:,} of {found.numbers:,} numbers without a gap"
        if found.with_gap:
            text += f", {found.with_gap:,} with one of up to {found.largest_gap_minutes:,} min"
        rest = {"seen first": found.first, "unobserved": found.unobserved}
        rest |= {"not asked": found.unchanged}
        text += "".join(f", {count:,} {word}" for word, count in rest.items() if count)
        yield line("coverage", text)


def _since(changes: Changes | None) -> Iterator[str]:
    if changes is not None:
        yield line("since", f"run {changes.since_run}: {change_totals(changes)}")
        if changes.cohorts:
            yield f"    likely migration: {cohort_words(changes.cohorts)}"


def threshold_lines(summary: Summary) -> Iterator[str]:
    """A line for each threshold of ``fail_if``."""
    for number, each in enumerate(summary.thresholds):
        yield from below(_judged(each)) if number else labelled("thresholds", _judged(each))


def crossed(summary: Summary) -> list[str]:
    """The crossed thresholds, with the observed figures."""
    return [_judged(each) for each in summary.thresholds if each.crossed]


def _judged(judgement: Judgement) -> str:
    """One threshold in words.

    >>> _judged(Judgement("failure_rate > 1%", 0.0234, crossed=True))
    'failure_rate > 1%: crossed, 2.34% seen'
    >>> _judged(Judgement("rows < 1000", 2500.0))
    'rows < 1000: held, 2,500 seen'
    """
    is_judged = judgement.crossed or judgement.seen is not None
    parts = ["crossed" if judgement.crossed else "held"] if is_judged else []
    if judgement.seen is not None:
        read = threshold(judgement.expr)
        form = ",.2f" if read.figure == "cost" else ",.0f"
        if read.is_share:
            form = "+.2%" if read.is_change else ".2%"
        parts.append(f"{judgement.seen:{form}} seen")
    if judgement.note:
        parts.append(judgement.note)
    if judgement.previous_run:
        parts.append(f"against run {judgement.previous_run}")
    return f"{judgement.expr}: {', '.join(parts)}"


def _files(layout: Layout) -> Iterator[str]:
    yield line("files", safe_text(str(layout.folder)))
    for table in DATA_FOLDERS:
        paths = layout.parts(table)
        if paths:  # else moved on since by another program, or there are no changes
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            yield f"    {paths[0].relative_to(layout.folder)}{more}"
    reports = layout.run.relative_to(layout.folder)
    names = "report.html, summary.json, errors.csv, pace.svg, schema.json, manifest.json"
    yield f"    {reports}/ ({names})"
    yield line("look", safe_text(_query(layout)))


def _query(layout: Layout) -> str:
    """One line to copy: the rows with a swap or an active forwarding."""
    named = layout.part("results", 0).parent
    if str(named).startswith("~") or ":" in named.parts[0]:  # polars would look elsewhere
        named = named.absolute()
    folder = glob.escape(str(named))
    parts = layout.parts("results")
    again = f".{writing_of(parts[0].name)}" if parts and writing_of(parts[0].name) > 1 else ""
    pattern = f"{folder}/{layout.run_id}-?????{again}.parquet"  # not those of -2
    paths = json.dumps(pattern, ensure_ascii=False)
    # The endpoints' own columns, not the risk view's.
    positive = 'pl.any_horizontal(pl.col("^.*_check_(swapped|active)$"))'
    code = f"import polars as pl; print(pl.read_parquet({paths}).filter({positive}))"
    return shlex.join([this_python(), "-c", code])


def this_python() -> str:
    """The shortest command, from this folder, that starts the current interpreter.

    A bare ``python`` only where it is this one: without an activated environment it is another,
    which has none of the libraries, or there is none.
    """
    if not sys.executable:  # of a frozen program
        return _PYTHONS[-1]
    used = Path(sys.executable)
    for name in _PYTHONS:
        named, found = used.with_name(name), shutil.which(name)
        with suppress(OSError):  # one of them has gone
            if found and Path(found).absolute() == named and used.samefile(named):
                return name
    with suppress(ValueError, OSError):  # it lies elsewhere, or this folder has gone
        relative = used.relative_to(Path.cwd())
        if len(relative.parts) > 1:  # a name alone would be looked for elsewhere
            return str(relative)
    return str(used)


# The pace of one start as a line of blocks, for a terminal of 80 columns.

_COLUMNS = 60
_BLOCKS = "▁▂▃▄▅▆▇█"
_NOTHING, _REFUSED = "·", "!"
_MUCH_LOWER = 0.95


def _pace(summary: Summary) -> Iterator[str]:
    session = summary.session
    if session.asking_seconds >= 1 and session.pace.attempts:
        for label, text in sparkline(session.pace):
            yield line(label, text) if label == "pace" else f"    {label:12} {text}"


def sparkline(pace: Pace) -> Iterator[tuple[str, str]]:
    """A sparkline of the pace, at most 60 wide, with marks and a legend.

    >>> for label, text in sparkline(Pace(1.0, [2, 5, 0, 10], [0, 1, 0, 0], [10.0] * 4)):
    ...     print(f"{label:8}{text}")
    pace    ▂▄·█
    refused  !
            a column is 1 s; full height is the limit, 10/s; highest
            10/s; ! requests were refused; · nothing was asked
    """
    shown = pace.at_most(_COLUMNS)
    limit = max(shown.limit_per_second)
    yield "pace", "".join(_block(rate, limit) for rate in shown.rates_per_second)
    marks = "".join(_REFUSED if refused else " " for refused in shown.refused).rstrip()
    if marks:
        yield "refused", marks
    for words in wrap("; ".join(_meaning(shown, limit)), _COLUMNS):
        yield "", words


def _meaning(pace: Pace, limit: float) -> Iterator[str]:
    least = min(pace.limit_per_second)
    yield f"a column is {_length(pace.step_seconds)}"
    yield f"full height is the limit, {_rate(limit)}/s"
    if least < _MUCH_LOWER * limit:
        yield f"at times only {_rate(least)}/s were permitted"
    yield f"highest {_rate(max(pace.rates_per_second))}/s"
    if pace.held_by_headers_seconds:
        yield f"held back by the API's headers for {_length(round(pace.held_by_headers_seconds))}"
    if any(pace.refused):
        yield f"{_REFUSED} requests were refused"
    if not all(pace.attempts):
        yield f"{_NOTHING} nothing was asked"


def _block(rate: float, limit: float) -> str:
    """The block of a rate's height, rounded up, so that any request shows.

    >>> [_block(rate, 10.0) for rate in (0.0, 0.1, 5.0, 9.9, 11.0)]
    ['·', '▁', '▄', '█', '█']
    """
    if rate <= 0:
        return _NOTHING
    if rate >= limit:
        return _BLOCKS[-1]
    return _BLOCKS[max(1, math.ceil(8 * rate / limit)) - 1]


def _rate(per_second: float) -> str:
    """A rate with as many digits as needed.

    >>> _rate(1234.5), _rate(97.51), _rate(0.25)
    ('1,234', '97.5', '0.25')
    """
    return f"{per_second:,.0f}" if per_second >= 100 else f"{per_second:.3g}"


def _length(seconds: float) -> str:
    """Seconds in a fitting unit.

    >>> _length(4.0), _length(90.0), _length(600.0), _length(5400.0)
    ('4 s', '1.5 min', '10 min', '1.5 h')
    """
    if seconds < 60:
        return f"{seconds:g} s"
    return f"{seconds / 60:.3g} min" if seconds < 3600 else f"{seconds / 3600:.3g} h"
