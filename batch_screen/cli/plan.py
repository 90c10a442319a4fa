"""``batch-screen plan``: estimates a run's requests, cost and time; sends nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

import batch_screen
from batch_screen.cli.console import print_json, print_text, unwind_on_signals
from batch_screen.cli.options import job_of
from batch_screen.cli.progress import watcher
from batch_screen.cli.run_block import rows_lines
from batch_screen.cli.text import line
from batch_screen.commands.contracts import ContractEstimate
from batch_screen.commands.plan import CHAIN, DERIVE, REUSE, PlanResult
from batch_screen.config.settings import Settings
from batch_screen.masking import safe_line, safe_text
from batch_screen.reports.words import duration
from batch_screen.runs.events import RunEvents

_WAYS = {REUSE: "reused:", DERIVE: "derived from the date:", CHAIN: "of no interest:"}
_SETTINGS = {DERIVE: "planner.derive_checks:", CHAIN: "planner.only_where_changed:"}
_SLOWED = 2.0


def plan(*, settings: Settings, as_json: bool, **options: Any) -> None:
    """Prints the estimate of a run."""
    job = job_of(options, settings)
    unwind_on_signals()
    with watcher(settings.output.heartbeat_seconds) as progress:
        found = batch_screen.plan(job, RunEvents(progress))
    if as_json:
        facts = {name: safe_line(fact, 1_000) for name, fact in found.facts.items()}
        columns = found.rows.by_phone_column.items()
        rows = replace(found.rows, by_phone_column={safe_line(n, 1_000): c for n, c in columns})
        print_json(replace(found, facts=facts, rows=rows))
    else:
        print_text(plan_block(found))


def plan_block(found: PlanResult) -> str:
    """The estimate as text; requests that answers may save make it "at most"."""
    to_ask, saved = sum(found.to_ask.values()), sum(found.already_answered.values())
    is_certain = all(saving.is_exact for saving in found.savings if saving.is_on)
    at_most = "" if is_certain else "at most "
    lines = [
        "plan: nothing was sent",
        "",
        line("phone column", safe_text(found.facts["phone_column"])),
        *rows_lines(found.rows),
        line("lookups", f"{at_most}{to_ask:,} to ask, {saved:,} saved"),
    ]
    width = max(len(name) for name in found.lookups)
    for name, lookups in found.lookups.items():
        answered = found.already_answered[name]
        lines.append(f"    {name:{width}}  {lookups:>10,} lookups, {answered:,} saved")
    if found.resumes:
        lines.append(line("resumes", f"run {found.resumes}"))
    lines += [*_windows(found), *_savings(found)]
    cost = "no prices are set"
    if found.cost is not None:
        cost = f"{at_most}{found.cost:,.2f} {found.currency} (before retries)"
    lines.append(line("cost", cost))
    left = [] if found.requests_left is None else [f"{found.requests_left:,} requests"]
    if found.cost_left is not None:
        left.append(f"{found.cost_left:,.2f} {found.currency}")
    if left:
        lines.append(line("budget", f"{' and '.join(left)} left, retries included"))
    if found.contracts:
        lines.append(line("time", f"{duration(found.seconds)}, each contract at its own rate"))
        lines += _contracts(found.contracts)
        return "\n".join(lines)
    # Lower rates, of some hours or of an endpoint, make it longer than the full rate says.
    is_slowed = found.seconds > _SLOWED * to_ask / found.rate_per_second
    rate = f"{'up to ' if is_slowed else ''}{found.rate_per_second:g}/s"
    lines.append(line("time", f"{duration(found.seconds)} at {rate}"))
    return "\n".join(lines)


def _contracts(contracts: Mapping[str, ContractEstimate]) -> Iterator[str]:
    width = max(map(len, contracts))
    for name, each in contracts.items():
        yield (
            f"    {name:{width}}  {each.numbers:>10,} numbers, {each.to_ask:,} to ask, "
            f"{duration(each.seconds)} at {each.rate_per_second:g}/s"
        )


def _windows(found: PlanResult) -> Iterator[str]:
    """How far the windows of checks will reach back."""
    for name, windows in found.windows.items():
        text = f"{name}: {windows.reaching:,} reach back to an earlier run"
        if windows.beyond:
            text += f", {windows.beyond:,} do not reach so far"
        yield line("windows", f"{text}, {windows.first:,} numbers are new")


def _savings(found: PlanResult) -> Iterator[str]:
    """Exact savings, possible ones, and those that other settings would bring."""
    for saving in found.savings:
        how = _WAYS[saving.how] if saving.is_on else _SETTINGS[saving.how]
        if saving.is_exact:
            figure = f"{saving.at_most:,} requests exactly"
        else:
            figure = f"0 to {saving.at_most:,} requests"
        if saving.as_in:
            figure += f", about {saving.likely:,} if all is as in run {saving.as_in}"
        yield line("saves" if saving.is_on else "could save", f"{how} {saving.endpoint} {figure}")
    if found.likely_requests is not None:
        yield line("estimate", f"about {found.likely_requests:,} requests in all")
