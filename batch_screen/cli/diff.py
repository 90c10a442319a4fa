"""``batch-screen diff``: compares two complete runs; sends nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import batch_screen
from batch_screen.cli.console import print_json, print_lines, unwind_on_signals
from batch_screen.cli.progress import watcher
from batch_screen.cli.text import line
from batch_screen.commands.diff import Diff
from batch_screen.masking import safe_text
from batch_screen.model import Endpoint
from batch_screen.runs.events import RunEvents
from batch_screen.tables.coverage import Change, Changes, Cohort

_SHOWN_COHORTS = 4
_PLAIN = {
    Change.DATE_MOVED: "dates moved",
    Change.NEWLY_NEGATIVE: "no longer positive",
    Change.BECAME_UNKNOWN: "became unknown",
    Change.BECAME_KNOWN: "became known",
}


def diff(*, since: str, run: str, out: Path | None, write: Path | None, as_json: bool) -> None:
    """Prints what changed from the first run to the second."""
    unwind_on_signals()
    with watcher() as progress:
        found = batch_screen.diff(since, run, out=out, write=write, events=RunEvents(progress))
    if as_json:
        print_json(found)
    else:
        print_lines(_lines(found, write))


def _lines(found: Diff, written: Path | None) -> Iterator[str]:
    changes = found.changes
    yield f"run {found.run_id} since run {changes.since_run} of {changes.since_date}"
    yield ""
    numbers = f"{changes.numbers_compared:,} compared"
    apart = f"{changes.numbers_new:,} new and {changes.numbers_gone:,} gone"
    yield line("numbers", f"{numbers}, {apart}")
    yield line("changes", change_totals(changes))
    width = max(len(name) for name in changes.endpoints)
    for name, counts in changes.endpoints.items():
        yield f"    {name:{width}}  {_counts(counts)}"
    if found.not_compared:
        yield line("left out", f"{', '.join(found.not_compared)}: asked by one of the two only")
    if changes.cohorts:
        yield line("likely", f"an operator's migration: {cohort_words(changes.cohorts)}")
    for change, examples in found.examples.items():
        shown = ", ".join(f"{each.e164_masked} {each.endpoint}" for each in examples)
        yield line("such as", f"{change}: {shown}")
    if written is not None:
        yield line("written", safe_text(str(written)))


def change_totals(changes: Changes) -> str:
    """Counts of changes over all endpoints; new positives are split by endpoint kind.

    >>> change_totals(Changes("r", "d", {"sim-swap/check": {"newly_positive": 2}}, 0, 0, 9, []))
    '2 newly swapped'
    """
    totals: Counter[str] = Counter()
    for name, counts in changes.endpoints.items():
        newly = "newly dated" if Endpoint(name).answers_date else "newly swapped"
        if name == Endpoint.CALL_FORWARDING_CHECK:
            newly = "newly forwarding"
        totals[newly] += counts.get(Change.NEWLY_POSITIVE, 0)
    for change, words in _PLAIN.items():
        totals[words] = sum(counts.get(change, 0) for counts in changes.endpoints.values())
    return _counts(totals)


def _counts(counts: Mapping[str, int]) -> str:
    """The counts that are not 0, with their words.

    >>> _counts({"newly dated": 1_200, "became known": 0}), _counts({})
    ('1,200 newly dated', 'nothing changed')
    """
    shown = [f"{count:,} {words}" for words, count in counts.items() if count]
    return ", ".join(shown) or "nothing changed"


def cohort_words(cohorts: Sequence[Cohort]) -> str:
    """The marked cohorts in words, the largest first."""
    fullest = sorted(cohorts, key=lambda cohort: -cohort.newly_positive)
    shown = [
        f"{c.name} {c.newly_positive:,} of {c.numbers:,} ({c.usual_share:.1%} elsewhere)"
        for c in fullest[:_SHOWN_COHORTS]
    ]
    more = len(cohorts) - len(shown)
    return ", ".join([*shown, *([f"{more} more"] if more else [])])
