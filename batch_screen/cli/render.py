"""The blocks that ``run`` and ``plan`` print: figures, files, and what to do next."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping

from batch_screen.cli.change_lines import change_totals, cohort_words
from batch_screen.cli.hints import hints
from batch_screen.cli.interpreter import this_python
from batch_screen.cli.spared import spared_lines, sparing_lines
from batch_screen.cli.sparkline import sparkline
from batch_screen.cli.threshold_lines import threshold_lines
from batch_screen.config.settings import Settings
from batch_screen.forecasting import Forecast
from batch_screen.job import SANDBOX
from batch_screen.model import Endpoint
from batch_screen.output.parts import DATA_FOLDERS
from batch_screen.output.summary import Lookups, Rows, Summary
from batch_screen.pipeline import Screened
from batch_screen.webpage.words import duration

_LABEL = 14
_SHOWN_REASONS = 6
_SLOWED = 2.0


def closing_block(screened: Screened, settings: Settings) -> str:
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


def _state(screened: Screened) -> str:
    if screened.summary.is_stopped:
        return "stopped, can be resumed"
    return "was complete already, nothing was asked" if screened.was_complete else "complete"


def forecast_block(expected: Forecast) -> str:
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


def _at_most(expected: Forecast) -> str:
    uncertain = any(saving.is_on and not saving.is_exact for saving in expected.savings)
    return "at most " if uncertain else ""


def _left_of_budget(expected: Forecast) -> str:
    left = []
    if expected.requests_left is not None:
        left.append(f"{expected.requests_left:,} requests")
    if expected.cost_left is not None:
        left.append(f"{expected.cost_left:,.2f} {expected.currency}")
    return " and ".join(left)


def _time(expected: Forecast) -> str:
    """The time; that at the full rate alone would be less where hours or endpoints have lower."""
    at_full_rate = sum(expected.to_ask.values()) / expected.rate_per_second
    is_slowed = expected.seconds > _SLOWED * at_full_rate
    up_to = "up to " if is_slowed else ""
    return f"{duration(expected.seconds)} at {up_to}{expected.rate_per_second:g}/s"


def _cost(expected: Forecast) -> str:
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


def _report(screened: Screened) -> Iterator[str]:
    layout = screened.layout
    yield _line("files", f"{layout.summary}; results come with the end of the run")


def _files(screened: Screened) -> Iterator[str]:
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


def _query(screened: Screened) -> str:
    """One line to copy: the rows with a swap or an active forwarding."""
    layout = screened.layout
    paths = layout.part("results", 0).parent / f"{layout.run_id}-?????.parquet"  # not those of -2
    # The endpoints' own columns, not the risk view's.
    positive = 'pl.any_horizontal(pl.col("^.*_check_(swapped|active)$"))'
    code = (
        f"import polars as pl; print(pl.read_parquet({json.dumps(str(paths))}).filter({positive}))"
    )
    return shlex.join([this_python(), "-c", code])
