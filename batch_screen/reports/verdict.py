"""The report's head: how the run ended, what was found, what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from batch_screen.model import Endpoint
from batch_screen.reports.words import RECENT_DAYS, counted, duration, share, window
from batch_screen.runs.layout import ERRORS, Layout
from batch_screen.tables.breakdown import Breakdown, Signs
from batch_screen.tables.errors import ErrorSummary, summarise_errors
from batch_screen.tables.manifest import ListedFile
from batch_screen.tables.summary import Summary


class Material(NamedTuple):
    """A run's figures, all from its files; of a stopped run only the summary."""

    summary: Summary
    breakdown: Breakdown | None = None
    errors: ErrorSummary | None = None
    files: Sequence[ListedFile] = ()


def material_of(
    layout: Layout, summary: Summary, breakdown: Breakdown, files: Sequence[ListedFile]
) -> Material:
    """Reads the figures of a complete run, whose parts must be whole."""
    return Material(summary, breakdown, summarise_errors(layout.parts(ERRORS)), files)


GOOD, POOR, STOPPED = "good", "poor", "stopped"


class Sign(NamedTuple):
    """A count of numbers that deserve a look, and the reason."""

    numbers: int
    what: str
    why: str
    is_positive: bool = True


class Figure(NamedTuple):
    """A headline figure and its label."""

    value: str
    label: str


class RunVerdict(NamedTuple):
    """The verdict; ``tone`` is its style, ``steps`` are remarks and next steps."""

    tone: str
    sentence: str
    steps: list[str]
    signs: list[Sign]
    figures: list[Figure]


def verdict_of(material: Material) -> RunVerdict:
    """The verdict on a run: tone, sentence, next steps, signs and figures."""
    summary, breakdown = material.summary, material.breakdown
    is_poor = summary.has_too_many_failures or _crossed(summary)
    return RunVerdict(
        # A run that was stopped is not judged: its shares are those of a part.
        tone=STOPPED if summary.is_stopped else POOR if is_poor else GOOD,
        sentence=_sentence(summary, breakdown),
        steps=list(_steps(summary)),
        signs=_listed(breakdown.signs) if breakdown else [],
        figures=list(_figures(summary, breakdown)),
    )


def _sentence(summary: Summary, breakdown: Breakdown | None) -> str:
    if breakdown is None:
        return (
            f"Stopped: {summary.lookups:,} of {summary.lookups + summary.left:,} lookups have an "
            "outcome, the others are still to be asked"
        )
    numbers, signs = counted(breakdown.numbers, "number"), breakdown.signs.numbers
    if not breakdown.numbers:
        found = "no row held a number that could be asked about"
    elif not signs:
        found = f"none of {numbers} shows a sign of a change or of forwarding"
    else:
        verb = "deserves" if signs == 1 else "deserve"
        found = f"{signs:,} of {numbers} {verb} a look"
    if summary.has_too_many_failures:
        return f"Complete, but {share(summary.failure_share, 1)} of the lookups failed; {found}"
    if crossed := _crossed(summary):
        verb = "was" if crossed == 1 else "were"
        return f"Complete, but {counted(crossed, 'threshold')} {verb} crossed; {found}"
    return f"Complete: {found}"


def _crossed(summary: Summary) -> int:
    return sum(each.crossed for each in summary.thresholds)


def _steps(summary: Summary) -> Iterator[str]:
    if summary.stopped is not None:
        yield f"Cause: {summary.stopped.cause} (exit code {summary.stopped.exit_code})."
        how = f" with --run-date {summary.run_date} and without --new-run"
        yield (
            f"Next: once that is fixed, start the same command{'' if summary.supersedes else how}. "
            "It goes on from here; what was answered is saved and is not asked or paid for again."
        )
    if summary.has_too_many_failures and summary.max_failure_share is not None:
        yield (
            f"More than {share(summary.max_failure_share, 1)} of the lookups failed "
            "(guards.max_failure_share). Their numbers are unknown, not safe: see Failed lookups "
            "for what to do."
        )
    if _crossed(summary):
        crossed = ", ".join(each.expr for each in summary.thresholds if each.crossed)
        yield f"Crossed: {crossed}. See Changes for what was seen."
    if summary.unanswered:
        yield (
            f"Up to {counted(summary.unanswered, 'request')} may have been billed without a saved "
            "answer, because a start ended abruptly; they are not in the cost."
        )
    if summary.rows.left_out:
        yield (
            f"Limited to the first {counted(summary.rows.unique_numbers, 'number')}: "
            f"{counted(summary.rows.left_out, 'row')} below them were left out."
        )
    if summary.settings.get("api.base_url") == "sandbox":
        yield "The answers are the sandbox's: invented, for trying things out."


def _listed(signs: Signs) -> list[Sign]:
    """The signs with numbers, the strongest first; unknown comes last and is never left out."""
    listed = (
        Sign(
            signs.sim_and_device,
            "SIM and device changed lately",
            "the strongest sign of a takeover",
        ),
        Sign(
            signs.forwarded,
            "calls forwarded, no recent change seen",
            "codes and call-backs may reach someone else; as of the moment of asking",
        ),
        Sign(
            signs.sim_only,
            "SIM alone changed lately",
            "look before trusting a text message; a move to an eSIM looks the same",
        ),
        Sign(
            signs.device_only,
            "device alone changed lately",
            "a weak sign: people buy telephones",
        ),
        Sign(
            signs.unanswered,
            "unknown, no answer",
            "no sign, but a lookup failed: neither pass nor fail, never to be taken as safe",
            is_positive=False,
        ),
        Sign(
            signs.unknown - signs.unanswered,
            "unknown, not ruled out",
            f"no sign, but no date either that rules out the last {RECENT_DAYS} days; a check "
            "speaks of its window alone",
            is_positive=False,
        ),
    )
    return [sign for sign in listed if sign.numbers]


def _figures(summary: Summary, breakdown: Breakdown | None) -> Iterator[Figure]:
    yield Figure(f"{summary.rows.unique_numbers:,}", "numbers asked about")
    if breakdown is not None:
        found = breakdown.signs.numbers
        yield Figure(f"{found:,}", f"deserve a look ({share(found, breakdown.numbers)})")
    yield Figure(share(summary.failed, summary.lookups), "of the lookups failed")
    seconds = sum(start.asking_seconds for start in summary.starts)
    yield Figure(duration(seconds), "of asking")
    if summary.cost:
        yield Figure(f"{summary.cost:,.2f} {summary.currency}", "at most")


def what_is_recent(summary: Summary) -> str:
    """The sentence that defines "changed lately" for the endpoints asked; empty without one."""
    asked = {Endpoint(name) for name in summary.endpoints}
    rules = []
    if any(endpoint.answers_date for endpoint in asked):
        rules.append(f"its latest change is dated less than {RECENT_DAYS} days before the answer")
    if any(endpoint.takes_max_age for endpoint in asked):
        rules.append(f"its check saw a swap {window(summary.settings)}".rstrip())
    return f"Changed lately: {', or '.join(rules)}." if rules else ""
