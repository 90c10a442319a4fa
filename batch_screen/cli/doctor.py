"""``batch-screen doctor``: whether a run could start, checked from settings to server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from batch_screen.cli.console import show, show_json, tell, unwind_on_signals
from batch_screen.cli.options import job_of, setting_options
from batch_screen.cli.text import hanging

if TYPE_CHECKING:
    from batch_screen.diagnostics.findings import Diagnosis, Finding

_LABEL = len("not checked")
_INDENT = 2 + _LABEL + 2


@click.command()
@click.argument("inputs", metavar="[INPUT]...", nargs=-1)
@setting_options
@click.option(
    "--canary",
    metavar="[NUMBER]",
    is_flag=False,
    flag_value="",
    default=None,
    help="Ask each endpoint once, which may be billed.  [NUMBER: the first of test_numbers]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(*, canary: str | None, as_json: bool, **options: Any) -> int:
    """Check whether a run could start: settings, key, folders, disk, and the way to the server.

    Sends no number and no key, and changes nothing; only --canary asks, and may cost. With INPUT
    the disk is held against what such a run needs. The exit code is that of the first failure.
    """
    from batch_screen.errors import ConfigurationError  # noqa: PLC0415 (heavy, what follows)

    try:
        job = job_of(options, needs_key=False)
    except ConfigurationError as error:
        from batch_screen.commands.doctor import unreadable  # noqa: PLC0415

        return _shown(unreadable(error), as_json=as_json)

    from batch_screen.commands.doctor import canary_number  # noqa: PLC0415
    from batch_screen.commands.doctor import doctor as diagnose  # noqa: PLC0415

    unwind_on_signals()
    number = None if canary is None else canary_number(job, canary)
    if number is not None and not job.sandbox:
        count = len(job.settings.screening.endpoints)
        tell(f"the canary sends {count} request{'s' if count > 1 else ''}, which may be billed")
    return _shown(diagnose(job, os.environ, number), as_json=as_json)


def _shown(found: Diagnosis, *, as_json: bool) -> int:
    if as_json:
        import msgspec  # noqa: PLC0415

        told = {"exit_code": found.exit_code, **msgspec.to_builtins(found)}
        show_json(msgspec.json.format(msgspec.json.encode(told)).decode())
    else:
        show("\n".join(_lines(found)))
    return found.exit_code


def _lines(found: Diagnosis) -> Iterator[str]:
    from batch_screen.diagnostics.findings import Health  # noqa: PLC0415

    failures, warnings = found.count(Health.FAILED), found.count(Health.WARNING)
    yield f"doctor: {failures} failed, {warnings} warnings"
    yield ""
    for finding in found.findings:
        yield from _finding(finding)


def _finding(finding: Finding) -> Iterator[str]:
    from batch_screen.diagnostics.findings import Health  # noqa: PLC0415

    word = finding.health.upper() if finding.health is Health.FAILED else finding.health.value
    yield from hanging(f"  {word:{_LABEL}}  ", f"{finding.name}: {finding.seen}")
    if finding.remedy:
        yield from hanging(" " * _INDENT, f"to do: {finding.remedy}")
