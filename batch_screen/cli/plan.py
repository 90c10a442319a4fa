"""``batch-screen plan``: what a run would ask and cost; sends nothing."""

from __future__ import annotations

from typing import Any

import click

from batch_screen.cli.console import show, show_json, unwind_on_signals
from batch_screen.cli.options import job_of, job_options


@click.command()
@job_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan(*, as_json: bool, **options: Any) -> None:
    """Show what a run over INPUT would ask, cost and take. Sends nothing, needs no key."""
    job = job_of(options, needs_key=False)

    import msgspec  # noqa: PLC0415

    from batch_screen.cli.progress import watcher  # noqa: PLC0415
    from batch_screen.cli.run_block import plan_block  # noqa: PLC0415 (heavy)
    from batch_screen.commands.plan import plan as plan_run  # noqa: PLC0415
    from batch_screen.masking import safe_line  # noqa: PLC0415
    from batch_screen.runs.events import RunEvents  # noqa: PLC0415

    unwind_on_signals()
    with watcher(job.settings.output.heartbeat_seconds) as progress:
        expected = plan_run(job, RunEvents(progress))
    if as_json:
        facts = {name: safe_line(fact, 1_000) for name, fact in expected.facts.items()}
        told = msgspec.structs.replace(expected, facts=facts)
        show_json(msgspec.json.format(msgspec.json.encode(told)).decode())
    else:
        show(plan_block(expected))
