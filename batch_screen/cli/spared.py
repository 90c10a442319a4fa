"""Lines of the blocks about what needs no asking, and about windows without gaps."""

from __future__ import annotations

from collections.abc import Iterator

from batch_screen.forecasting import Forecast
from batch_screen.output.summary import Summary
from batch_screen.sparing import CHAIN, DERIVE, REUSE

Line = tuple[str, str]
"""A label and its text."""

_WAYS = {REUSE: "reused:", DERIVE: "derived from the date:", CHAIN: "of no interest:"}
_SETTINGS = {DERIVE: "planner.derive_checks:", CHAIN: "planner.only_where_changed:"}


def spared_lines(summary: Summary) -> Iterator[Line]:
    """What a run did not ask, and how far its windows reach; nothing where that is not in use."""
    yield from _saved(summary)
    yield from _coverage(summary)


def sparing_lines(expected: Forecast) -> Iterator[Line]:
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


def _windows(expected: Forecast) -> Iterator[Line]:
    for name, found in expected.windows.items():
        text = f"{name}: {found.reaching:,} reach back to an earlier run"
        if found.beyond:
            text += f", {found.beyond:,} do not reach so far"
        yield ("windows", f"{text}, {found.first:,} numbers are new")


def _savings(expected: Forecast) -> Iterator[Line]:
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
