"""The blocks that ``run`` and ``plan`` print: figures, files, and what to do next."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterator, Mapping
from textwrap import wrap

from batch_screen.cli.diff import change_totals, cohort_words
from batch_screen.cli.hints import hints
from batch_screen.cli.interpreter import this_python
from batch_screen.cli.text import below, labelled
from batch_screen.commands.plan import CHAIN, DERIVE, REUSE, PlanResult
from batch_screen.commands.run import RunResult
from batch_screen.config.parsing import threshold
from batch_screen.config.settings import Settings
from batch_screen.job import SANDBOX
from batch_screen.model import Endpoint, Pace
from batch_screen.reports.words import duration
from batch_screen.runs.layout import DATA_FOLDERS
from batch_screen.tables.summary import Judgement, Lookups, Rows, Summary

# Lines of the blocks about what needs no asking, and about windows without gaps.

Line = tuple[str, str]
"""A label and its text."""

_WAYS = {REUSE: "reused:", DERIVE: "derived from the date:", CHAIN: "of no interest:"}
_SETTINGS = {DERIVE: "planner.derive_checks:", CHAIN: "planner.only_where_changed:"}


def spared_lines(summary: Summary) -> Iterator[Line]:
    """What a run did not ask, and how far its windows reach; nothing where that is not in use."""
    yield from _saved(summary)
    yield from _coverage(summary)


def sparing_lines(expected: PlanResult) -> Iterator[Line]:
    """What a run will not ask, exactly or within bounds, and how far its windows will reach."""
    yield from _windows(expected)
    yield from _savings(expected)


def _saved(summary: Summary) -> Iterator[Line]:
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
        text += f"; {saved.dates_asked:,} dates asked besides"
    yield ("saved", text)


def _coverage(summary: Summary) -> Iterator[Line]:
    for name, found in summary.coverage.items():
        text = f"{name}: {found.without_gap:,} of {found.numbers:,} numbers without a gap"
        if found.with_gap:
            text += f", {found.with_gap:,} with one of up to {found.largest_gap_minutes:,} min"
        rest = {"seen first": found.first, "unobserved": found.unobserved}
        rest |= {"not asked": found.unchanged}
        text += "".join(f", {count:,} {word}" for word, count in rest.items() if count)
        yield ("coverage", text)


def _windows(expected: PlanResult) -> Iterator[Line]:
    for name, found in expected.windows.items():
        text = f"{name}: {found.reaching:,} reach back to an earlier run"
        if found.beyond:
            text += f", {found.beyond:,} do not reach so far"
        yield ("windows", f"{text}, {found.first:,} numbers are new")


def _savings(expected: PlanResult) -> Iterator[Line]:
    """What is saved exactly, what may be, and what could be with other settings."""
    for saving in expected.savings:
        what = _WAYS[saving.how] if saving.is_on else _SETTINGS[saving.how]
        if saving.is_exact:
            figure = f"{saving.at_most:,} requests exactly"
        else:
            figure = f"0 to {saving.at_most:,} requests"
        if saving.as_in:
            figure += f", about {saving.likely:,} if all is as in run {saving.as_in}"
        yield ("saves" if saving.is_on else "could save", f"{what} {saving.endpoint} {figure}")
    if expected.likely_requests is not None:
        yield ("estimate", f"about {expected.likely_requests:,} requests in all")


# What became of the thresholds of ``fail_if``, in words.


def threshold_lines(summary: Summary) -> Iterator[str]:
    """A line for each threshold, below one label."""
    for number, each in enumerate(summary.thresholds):
        yield from below(_told(each)) if number else labelled("thresholds", _told(each))


def crossed(summary: Summary) -> list[str]:
    """The thresholds that are crossed, with what was seen."""
    return [_told(each) for each in summary.thresholds if each.crossed]


def _told(judgement: Judgement) -> str:
    """One threshold in words.

    >>> _told(Judgement("failure_rate > 1%", 0.0234, crossed=True))
    'failure_rate > 1%: crossed, 2.34% seen'
    >>> _told(Judgement("rows < 1000", 2500.0))
    'rows < 1000: held, 2,500 seen'
    """
    parts = ["crossed" if judgement.crossed else "held"]
    if judgement.seen is None and not judgement.crossed:
        parts = []
    if judgement.seen is not None:
        parts.append(f"{_amount(judgement.expr, judgement.seen)} seen")
    if judgement.note:
        parts.append(judgement.note)
    if judgement.previous_run:
        parts.append(f"against run {judgement.previous_run}")
    return f"{judgement.expr}: {', '.join(parts)}"


def _amount(expr: str, seen: float) -> str:
    read = threshold(expr)
    if read.is_share:
        return f"{seen:+.2%}" if read.is_change else f"{seen:.2%}"
    return f"{seen:,.2f}" if read.figure == "cost" else f"{seen:,.0f}"


# The pace of one start as a line of blocks, for a terminal of 80 columns.

_COLUMNS = 60
_BLOCKS = "▁▂▃▄▅▆▇█"
_NOTHING, _REFUSED = "·", "!"
_MUCH_LOWER = 0.95


def sparkline(pace: Pace) -> Iterator[tuple[str, str]]:
    """Labels and texts, each at most 60 wide: blocks, marks below them, and what they mean.

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
    for line in wrap("; ".join(_meaning(shown, limit)), _COLUMNS):
        yield "", line


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
    """The block as high as the rate is, rounded up: what was asked at all is seen.

    >>> [_block(rate, 10.0) for rate in (0.0, 0.1, 5.0, 9.9, 11.0)]
    ['·', '▁', '▄', '█', '█']
    """
    if rate <= 0:
        return _NOTHING
    if rate >= limit:
        return _BLOCKS[-1]
    return _BLOCKS[max(1, math.ceil(8 * rate / limit)) - 1]


def _rate(per_second: float) -> str:
    """The number as precise as it need be.

    >>> _rate(1234.5), _rate(97.51), _rate(0.25)
    ('1,234', '97.5', '0.25')
    """
    return f"{per_second:,.0f}" if per_second >= 100 else f"{per_second:.3g}"


def _length(seconds: float) -> str:
    """Seconds in the unit that suits them.

    >>> _length(4.0), _length(90.0), _length(600.0), _length(5400.0)
    ('4 s', '1.5 min', '10 min', '1.5 h')
    """
    if seconds < 60:
        return f"{seconds:g} s"
    return f"{seconds / 60:.3g} min" if seconds < 3600 else f"{seconds / 3600:.3g} h"


_LABEL = 14
_SHOWN_REASONS = 6
_SLOWED = 2.0


def closing_block(screened: RunResult, settings: Settings) -> str:
    """What a run came to, in the manner of load-testing tools."""
    summary = screened.summary
    state = _state(screened)
    if summary.settings.get("api.base_url") == SANDBOX:
        state += " · sandbox answers, not real ones"
    lines = [
        f"batch-screen {summary.version} · run {summary.run_id} · {state}",
        "",
        *_rows(summary.rows),
        *_lookups(summary),
        *_requests(summary, settings),
        *(_line(*line) for line in spared_lines(summary)),
        *_pace(summary),
        *_changes(summary),
        *threshold_lines(summary),
        *(_report(screened) if summary.is_stopped else _files(screened)),
        *(f"  hint: {hint}" for hint in hints(summary, settings)),
    ]
    return "\n".join(lines)


def _state(screened: RunResult) -> str:
    if screened.summary.is_stopped:
        return "stopped, can be resumed"
    return "was complete already, nothing was asked" if screened.was_complete else "complete"


def plan_block(expected: PlanResult) -> str:
    """What a run would ask and cost."""
    total = sum(expected.to_ask.values())
    lines = [
        "plan: nothing was sent",
        "",
        _line("phone column", expected.facts["phone_column"]),
        *_rows(expected.rows),
        _line(
            "lookups",
            f"{_at_most(expected)}{total:,} to ask, "
            f"{sum(expected.already_answered.values()):,} saved",
        ),
    ]
    width = max(len(name) for name in expected.lookups)
    for name, lookups in expected.lookups.items():
        saved = expected.already_answered[name]
        lines.append(f"    {name:{width}}  {lookups:>10,} lookups, {saved:,} saved")
    if expected.resumes:
        lines.append(_line("resumes", f"run {expected.resumes}"))
    lines += [_line(*line) for line in sparing_lines(expected)]
    lines.append(_line("cost", _cost(expected)))
    if left := _left_of_budget(expected):
        lines.append(_line("budget", f"{left} left, retries included"))
    lines.append(_line("time", _time(expected)))
    return "\n".join(lines)


def _at_most(expected: PlanResult) -> str:
    uncertain = any(saving.is_on and not saving.is_exact for saving in expected.savings)
    return "at most " if uncertain else ""


def _left_of_budget(expected: PlanResult) -> str:
    left = []
    if expected.requests_left is not None:
        left.append(f"{expected.requests_left:,} requests")
    if expected.cost_left is not None:
        left.append(f"{expected.cost_left:,.2f} {expected.currency}")
    return " and ".join(left)


def _time(expected: PlanResult) -> str:
    """The time; that at the full rate alone would be less where hours or endpoints have lower."""
    at_full_rate = sum(expected.to_ask.values()) / expected.rate_per_second
    is_slowed = expected.seconds > _SLOWED * at_full_rate
    up_to = "up to " if is_slowed else ""
    return f"{duration(expected.seconds)} at {up_to}{expected.rate_per_second:g}/s"


def _cost(expected: PlanResult) -> str:
    if expected.cost is None:
        return "no prices are set"
    return f"{_at_most(expected)}{expected.cost:,.2f} {expected.currency} (before retries)"


def _line(label: str, text: str) -> str:
    return f"  {label + ' ':.<{_LABEL}} {text}"


def _rows(rows: Rows) -> Iterator[str]:
    # Not with a plus between them: before a figure it would be masked as a number is.
    sums = f"{rows.accepted:,} accepted and {rows.rejected:,} rejected"
    yield _line("rows", f"{rows.read:,} = {sums}")
    if rows.rejected:
        yield _line("  rejected", _main_counts(rows.rejected_by_reason))
    yield _line(
        "numbers", f"{rows.unique_numbers:,} unique, {rows.duplicates:,} rows are duplicates"
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
    totals: dict[str, int] = {}
    for figures in summary.endpoints.values():
        for outcome, count in figures.by_outcome.items():
            totals[outcome] = totals.get(outcome, 0) + count
    sums = ", ".join(f"{count:,} {outcome}" for outcome, count in totals.items()) or "none"
    yield _line("lookups", f"{summary.lookups:,} = {sums}")
    width = max((len(name) for name in summary.endpoints), default=0)
    for name, figures in summary.endpoints.items():
        yield f"    {name:{width}}  {_figures(name, figures)}"
    if summary.is_stopped:
        left = _counts({name: figures.left for name, figures in summary.endpoints.items()})
        yield _line("left", f"{summary.left:,} lookups without an outcome: {left}")


def _figures(name: str, figures: Lookups) -> str:
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
    without = sum(f.derived + f.reused + f.spared for f in summary.endpoints.values())
    retries = max(0, attempts - refusals - summary.lookups + without)
    asked = "lookups" if not without else "lookups that were asked"
    yield _line(
        "requests", f"{attempts:,} = {asked}, {retries:,} retries and {refusals:,} refused (429)"
    )
    if session.asking_seconds >= 1:
        yield _line(
            "rate",
            f"{session.rate_per_second:,.1f}/s over {duration(session.asking_seconds)}, "
            f"{settings.pacing.rate_per_second:g}/s allowed",
        )
    if summary.cost:
        yield _line("cost", f"at most {summary.cost:,.2f} {summary.currency}")


def _pace(summary: Summary) -> Iterator[str]:
    session = summary.session
    if session.asking_seconds >= 1 and session.pace.attempts:
        for label, text in sparkline(session.pace):
            yield _line(label, text) if label == "pace" else f"    {label:{_LABEL - 2}} {text}"


def _changes(summary: Summary) -> Iterator[str]:
    if summary.changes is None:
        return
    yield _line("since", f"run {summary.changes.since_run}: {change_totals(summary.changes)}")
    if summary.changes.cohorts:
        yield f"    likely migration: {cohort_words(summary.changes.cohorts)}"


def _report(screened: RunResult) -> Iterator[str]:
    layout = screened.layout
    yield _line("files", f"{layout.summary}; results come with the end of the run")


def _files(screened: RunResult) -> Iterator[str]:
    layout = screened.layout
    yield _line("files", str(layout.folder))
    for table in DATA_FOLDERS:
        paths = layout.parts(table)
        if not paths:  # moved on since, by whoever reads them, or no changes to tell
            continue
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        yield f"    {paths[0].relative_to(layout.folder)}{more}"
    reports = layout.run.relative_to(layout.folder)
    names = "report.html, summary.json, errors.csv, pace.svg, schema.json, manifest.json"
    yield f"    {reports}/ ({names})"
    yield _line("look", _query(screened))


def _query(screened: RunResult) -> str:
    """One line to copy: the rows with a swap or an active forwarding."""
    layout = screened.layout
    paths = layout.part("results", 0).parent / f"{layout.run_id}-?????.parquet"  # not those of -2
    # The endpoints' own columns, not the risk view's.
    positive = 'pl.any_horizontal(pl.col("^.*_check_(swapped|active)$"))'
    code = (
        f"import polars as pl; print(pl.read_parquet({json.dumps(str(paths))}).filter({positive}))"
    )
    return shlex.join([this_python(), "-c", code])
