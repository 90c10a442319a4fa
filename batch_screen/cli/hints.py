"""Hints after a run, as a pure function of its figures."""

from __future__ import annotations

from collections.abc import Iterator

from batch_screen.config.settings import Settings
from batch_screen.model import Endpoint, OutcomeKind
from batch_screen.tables.summary import Summary

_DAY_MINUTES = 1440
_MANY = 0.05
_SPORADIC = 0.02  # so few are refused whatever the rate


def hints(summary: Summary, settings: Settings) -> Iterator[str]:
    """Hints for the closing block, the most important first."""
    if summary.is_stopped:
        how = f", without --new-run and with --run-date {summary.run_date}"
        yield (
            f"once the cause is fixed, the same command goes on{'' if summary.supersedes else how}"
            "; what was answered is saved and not asked for again"
        )
        return
    yield from _about_failures(summary, settings)
    yield from _about_rejects(summary, settings)
    yield from _about_meaning(summary, settings)


def _about_failures(summary: Summary, settings: Settings) -> Iterator[str]:
    if summary.unanswered:
        yield (
            f"an earlier start ended abruptly: up to {summary.unanswered:,} requests may have been "
            "billed without an answer; they are not in the cost"
        )
    if summary.failure_share > settings.guards.max_failure_share:
        yield (
            f"{summary.failure_share:.1%} of the lookups failed, more than "
            f"guards.max_failure_share ({settings.guards.max_failure_share:.1%}): exit code 3; "
            "see errors.csv, and batch-screen retry for those that may pass"
        )
    gaps = {name: found for name, found in summary.coverage.items() if found.with_gap}
    if gaps:
        worst = max(found.largest_gap_minutes for found in gaps.values())
        yield (
            f"up to {worst:,} minutes of some numbers were not observed ({', '.join(gaps)}): "
            "see gap_minutes in results"
        )
    if summary.contradictions:
        counts = ", ".join(f"{count:,} at {name}" for name, count in summary.contradictions.items())
        yield (
            f"check and date contradict each other for some numbers ({counts}): take either for a "
            "reason to look, and ask the vendor; the column contradiction marks them"
        )
    refusals = sum(figures.refusals for figures in summary.endpoints.values())
    attempts = sum(figures.attempts for figures in summary.endpoints.values())
    if refusals > _SPORADIC * attempts:
        yield (
            f"{refusals:,} requests were refused for the rate: the contract may allow less than "
            f"{settings.pacing.rate_per_second:g}/s; lower --rate"
        )
    not_found = sum(
        figures.by_outcome.get(OutcomeKind.NOT_FOUND, 0) for figures in summary.endpoints.values()
    )
    if summary.lookups and not_found / summary.lookups > _MANY:
        yield (
            f"{not_found:,} lookups were not_found: inconclusive, neither pass nor fail; another "
            "operator's numbers?"
        )


def _about_rejects(summary: Summary, settings: Settings) -> Iterator[str]:
    reasons = summary.rows.rejected_by_reason
    if reasons.get("ambiguous"):
        hint = "" if settings.input.region_column else ", or name --region-column"
        yield (
            f"{reasons['ambiguous']:,} rows read as two different numbers; write them with + and "
            f"country code{hint}"
        )
    if reasons.get("no_region"):
        hint = "" if settings.input.region_column else " or --region-column"
        yield f"{reasons['no_region']:,} rows have no country; name --default-region{hint}"
    if reasons.get("scientific_notation"):
        yield (
            f"{reasons['scientific_notation']:,} numbers were damaged by a spreadsheet; export the "
            "column as text"
        )
    if reasons.get("ragged_row"):
        yield (
            f"{reasons['ragged_row']:,} rows have more cells than the header; quote cells that "
            "hold the delimiter"
        )


def _about_meaning(summary: Summary, settings: Settings) -> Iterator[str]:
    window = settings.screening.max_age_minutes
    asks_window = any(Endpoint(name).takes_max_age for name in summary.endpoints)
    if asks_window and window < _DAY_MINUTES and not settings.screening.reaches_back:
        yield (
            f"a window of {window} minutes leaves {_DAY_MINUTES - window} minutes of each day "
            "unobserved if you screen nightly; --max-age-minutes 2400 covers them"
        )
    if not settings.input.keep_columns:
        has_several = len(summary.rows.by_phone_column) > 1
        key = "source_file and source_row" if has_several else "row_index"
        yield (
            f"results hold none of your own columns: join them by {key}, or start the same command "
            "with --keep-columns NAMES, which writes them anew and asks nothing"
        )
    if not settings.prices.per_request:
        yield "no cost is shown: set your contract's prices under [prices.per_request]"
