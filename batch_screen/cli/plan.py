"""``batch-screen plan``: what a run would ask and cost; sends nothing."""

from __future__ import annotations

from typing import Any

import click

from batch_screen.cli.options import job_of, job_options


@click.command()
@job_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan(*, as_json: bool, **options: Any) -> None:
    """Show what a run over INPUT would ask, cost and take. Sends nothing, needs no key."""
    job = job_of(options, needs_key=False)

    import msgspec  # noqa: PLC0415

    from batch_screen.cli.render import forecast_block  # noqa: PLC0415 (heavy)
    from batch_screen.cli.watching import watcher  # noqa: PLC0415
    from batch_screen.pipeline import forecast  # noqa: PLC0415
    from batch_screen.watch import Watch  # noqa: PLC0415

    with watcher(job.settings.output.heartbeat_seconds) as progress:
        expected = forecast(job, Watch(progress))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(expected)).decode())
    else:
        click.echo(forecast_block(expected))
