"""``batch-screen doctor``: diagnoses whether a run could start, from settings to server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import msgspec

import batch_screen
from batch_screen.cli.console import print_json, print_lines, print_stderr, unwind_on_signals
from batch_screen.cli.options import job_of, settings_of
from batch_screen.cli.text import hanging
from batch_screen.commands.doctor import canary_number, unreadable
from batch_screen.diagnostics.findings import Diagnosis, Health
from batch_screen.errors import ConfigurationError
from batch_screen.reports.words import counted

_LABEL = len("not checked")


def doctor(*, canary: str | None, as_json: bool, **options: Any) -> int:
    """Prints every finding and returns the exit code of the first failure."""
    try:
        job = job_of(options, settings_of(options))
    except ConfigurationError as error:
        return _print(unreadable(error), as_json=as_json)
    unwind_on_signals()
    number = None if canary is None else canary_number(job, canary)
    if number is not None and not job.sandbox:
        requests = counted(len(job.settings.screening.endpoints), "request")
        print_stderr(f"the canary sends {requests}, which may be billed")
    return _print(batch_screen.doctor(job, os.environ, number), as_json=as_json)


def _print(found: Diagnosis, *, as_json: bool) -> int:
    if as_json:
        print_json({"exit_code": found.exit_code, **msgspec.structs.asdict(found)})
    else:
        print_lines(_lines(found))
    return found.exit_code


def _lines(found: Diagnosis) -> Iterator[str]:
    failures, warnings = found.count(Health.FAILED), found.count(Health.WARNING)
    yield f"doctor: {failures} failed, {warnings} warnings"
    yield ""
    for finding in found.findings:
        word = finding.health.upper() if finding.health is Health.FAILED else finding.health.value
        first = f"  {word:{_LABEL}}  "
        yield from hanging(first, f"{finding.name}: {finding.seen}")
        if finding.remedy:
            yield from hanging(" " * len(first), f"to do: {finding.remedy}")
