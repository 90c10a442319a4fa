"""``batch-screen plan``: what a run would ask and cost; sends nothing."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

import batch_screen
from batch_screen.cli.console import print_json, print_text, unwind_on_signals
from batch_screen.cli.job import job_of
from batch_screen.cli.progress import watcher
from batch_screen.cli.run_block import plan_block
from batch_screen.masking import safe_line
from batch_screen.runs.events import RunEvents


def plan(*, as_json: bool, **options: Any) -> None:
    """Prints what a run would ask, cost and take."""
    job = job_of(options, needs_key=False)
    unwind_on_signals()
    with watcher(job.settings.output.heartbeat_seconds) as progress:
        found = batch_screen.plan(job, RunEvents(progress))
    if as_json:
        facts = {name: safe_line(fact, 1_000) for name, fact in found.facts.items()}
        print_json(replace(found, facts=facts))
    else:
        print_text(plan_block(found))
