"""``batch-screen plan``: what a run would ask and cost; sends nothing."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, Never

import click

from batch_screen.cli.options import job_of, job_options
from batch_screen.cli.show import show, show_json

if TYPE_CHECKING:
    from types import FrameType

_TERMINATED = 128 + signal.SIGTERM


@click.command()
@job_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan(*, as_json: bool, **options: Any) -> None:
    """Show what a run over INPUT would ask, cost and take. Sends nothing, needs no key."""
    job = job_of(options, needs_key=False)

    import msgspec  # noqa: PLC0415

    from batch_screen.cli.render import forecast_block  # noqa: PLC0415 (heavy)
    from batch_screen.cli.watching import watcher  # noqa: PLC0415
    from batch_screen.forecasting import forecast  # noqa: PLC0415
    from batch_screen.masking import safe_line  # noqa: PLC0415
    from batch_screen.watch import Watch  # noqa: PLC0415

    _obey_signals()
    with watcher(job.settings.output.heartbeat_seconds) as progress:
        expected = forecast(job, Watch(progress))
    if as_json:
        facts = {name: safe_line(fact, 1_000) for name, fact in expected.facts.items()}
        told = msgspec.structs.replace(expected, facts=facts)
        show_json(msgspec.json.format(msgspec.json.encode(told)).decode())
    else:
        show(forecast_block(expected))


def _obey_signals() -> None:
    """SIGTERM and SIGHUP unwind, so that the scratch folder is removed; once is enough."""

    def leave(number: int, frame: FrameType | None) -> Never:
        del number, frame
        for each in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(_TERMINATED)

    signal.signal(signal.SIGTERM, leave)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, leave)
