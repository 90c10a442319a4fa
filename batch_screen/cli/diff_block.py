"""What changed between two runs in words, for the closing block and for ``diff``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from batch_screen.model import Endpoint
from batch_screen.tables.summary import Change, Changes, Cohort

_SHOWN_COHORTS = 4
_PLAIN = {
    Change.DATE_MOVED: "dates moved",
    Change.NEWLY_NEGATIVE: "no longer positive",
    Change.BECAME_UNKNOWN: "became unknown",
    Change.BECAME_KNOWN: "became known",
}


def change_totals(changes: Changes) -> str:
    """Changes over all endpoints, newly positive ones by what they say.

    >>> change_totals(Changes("r", "d", {"sim-swap/check": {"newly_positive": 2}}, 0, 0, 9, []))
    '2 newly swapped'
    """
    totals: Counter[str] = Counter()
    for endpoint, counts in changes.endpoints.items():
        totals[_newly(Endpoint(endpoint))] += counts.get(Change.NEWLY_POSITIVE, 0)
    for change, words in _PLAIN.items():
        totals[words] = sum(counts.get(change, 0) for counts in changes.endpoints.values())
    return counted_words(totals)


def counted_words(counts: Mapping[str, int]) -> str:
    """The counts that are not 0, with their words.

    >>> counted_words({"newly dated": 1_200, "became known": 0}), counted_words({})
    ('1,200 newly dated', 'nothing changed')
    """
    told = [f"{count:,} {words}" for words, count in counts.items() if count]
    return ", ".join(told) or "nothing changed"


def cohort_words(cohorts: list[Cohort]) -> str:
    """The marked cohorts, the fullest first."""
    shown = [_cohort(c) for c in sorted(cohorts, key=lambda c: -c.newly_positive)[:_SHOWN_COHORTS]]
    more = len(cohorts) - len(shown)
    return ", ".join([*shown, *([f"{more} more"] if more else [])])


def _cohort(cohort: Cohort) -> str:
    usual = f"{cohort.usual_share:.1%} elsewhere"
    return f"{cohort.name} {cohort.newly_positive:,} of {cohort.numbers:,} ({usual})"


def _newly(endpoint: Endpoint) -> str:
    if endpoint.answers_date:
        return "newly dated"
    return "newly forwarding" if endpoint is Endpoint.CALL_FORWARDING_CHECK else "newly swapped"
