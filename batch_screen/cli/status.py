"""``batch-screen status``: shows every run of a folder, and how to resume it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

import batch_screen
from batch_screen.cli.console import print_json, print_text
from batch_screen.cli.options import flag_names
from batch_screen.cli.text import TEXT_COLUMN, WIDTH, fitting, labelled, line
from batch_screen.commands.status import RunStatus, State, Status
from batch_screen.config.load import PREFIX
from batch_screen.config.paths import is_address
from batch_screen.config.screening import OPT_OUT_FILE
from batch_screen.config.settings import Settings
from batch_screen.job import Job
from batch_screen.masking import mask_text, safe_text
from batch_screen.reports.words import duration
from batch_screen.runs.state import LIMIT, RETRY_OF, RETRY_OUTCOMES, SANDBOX

_STDIN = "stdin"
_TEST_NUMBERS = "numbers.test_numbers"
_OF_RETRIES = ("api.base_url", "api.dialect", "api.paths", RETRY_OUTCOMES)
_NAMES = 30


class Resuming(NamedTuple):
    """The command that resumes a run, and a note on what it cannot contain."""

    command: str
    besides: str


def status(*, settings: Settings, config: Path | None, as_json: bool, **options: Any) -> None:
    """Prints the status of every run, and how to resume those that stopped."""
    del options  # they are among the settings
    out = Path(settings.output.folder) if settings.output.folder else None
    if bucket := settings.output.state_bucket:
        found = batch_screen.status(out, bucket=bucket)
    else:
        found = batch_screen.status(out, Job((), settings).state)
    how = {
        run.run_id: resuming(run, settings, config)
        for run in found.runs
        if run.state is State.RESUMABLE
    }
    if as_json:
        print_json(_as_json(found, how))
    else:
        print_text(status_block(found, how))


def _as_json(found: Status, how: Mapping[str, Resuming]) -> dict[str, Any]:
    """The run as JSON, without its settings: they are in the resume command."""
    content: dict[str, Any] = msgspec.to_builtins(found)
    for run in content["runs"]:
        del run["settings"]
        resume = how.get(run["run_id"])
        run["resume"] = mask_text(resume.command) if resume else None
        run["resume_besides"] = resume.besides if resume else ""
    content["seconds_left"] = found.heartbeat.seconds_left if found.heartbeat else None
    content["is_stalled"] = found.is_stalled
    content["holder"] = found.holder._asdict() if found.holder else None
    return content


# The command that goes on with a run: its inputs, date, and the settings of its identity.


def resuming(run: RunStatus, settings: Settings, config: Path | None) -> Resuming:
    """The resume command for a user with these settings, partly from the ``config`` file."""
    own = settings.identity()
    differing = {name: value for name, value in run.settings.items() if value != own.get(name)}
    retried = str(run.settings.get(RETRY_OF, ""))
    if retried:  # the rest is taken from the run itself
        differing = {
            name: value
            for name, value in differing.items()
            if name in _OF_RETRIES and value != SANDBOX
        }
    besides = []
    if run.settings.get(OPT_OUT_FILE):  # its content alone is known
        besides.append("with the same --opt-out list, or a longer one")
    if _TEST_NUMBERS in differing:
        besides.append(f"with the same {_TEST_NUMBERS}")
    variables, flags = [], []
    for name, value in differing.items():
        if name in (OPT_OUT_FILE, _TEST_NUMBERS):
            continue
        if flag := _flag(name, value):
            flags.append(flag)
        else:
            variable = f"{PREFIX}{name.replace('.', '__')}".upper()
            variables.append(f"{variable}={shlex.quote(_text(value))}")
    folders = {
        "--out": settings.output.folder,
        "--state-dir": settings.output.state_folder,
        "--state": settings.output.state_bucket,
    }
    lists = ("-" if path == _STDIN else shlex.quote(path) for path in run.inputs)
    words = [
        *variables,
        *(["batch-screen retry", retried] if retried else ["batch-screen run", *lists]),
        *([f"--config {shlex.quote(str(config))}"] if config else []),
        *(f"{option} {shlex.quote(folder)}" for option, folder in folders.items() if folder),
        *([] if retried else [f"--run-date {run.run_date}"]),
        *flags,
    ]
    return Resuming(" ".join(words), "; ".join(besides))


def _flag(name: str, value: Any) -> str:
    """The flag for a setting; empty if only a variable can set it."""
    if name == RETRY_OUTCOMES:
        return f"--outcomes {_text(value)}"
    if (name, value) == ("input.has_header", False):
        return "--no-header"
    if (name, value) == ("api.base_url", SANDBOX):
        return "--sandbox"
    if name == LIMIT:
        return f"--limit {value}"
    if name not in flag_names() or isinstance(value, bool) or value == []:
        return ""
    return f"{flag_names()[name]} {shlex.quote(_text(value))}"


def _text(value: Any) -> str:
    """The value as a flag or a variable gives it.

    >>> _text(["DE", "AT"]), _text(True), _text({"sim-swap/check": "/v2"})
    ('DE,AT', 'true', '{"sim-swap/check": "/v2"}')
    """
    if isinstance(value, list):
        return ",".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


def status_block(found: Status, resuming: Mapping[str, Resuming]) -> str:
    """The status as text; ``resuming`` maps run ids to resume commands."""
    lines = [f"status of {found.state_folder}", "", *_process(found)]
    if not found.runs:
        lines += labelled("runs", "none: nothing has run there, or its state was removed")
    for run in found.runs:
        lines += _figures(run)
        if run.state is State.RUNNING:
            lines += _pace(found)
        elif run.state is State.UNREADABLE:
            lines += labelled("problem", run.problem)
        elif run.run_id in resuming:
            lines += _resume(resuming[run.run_id])
    return "\n".join(lines)


def _process(found: Status) -> Iterator[str]:
    if found.holder is None:
        return
    is_here = found.holder.is_alive and not is_address(found.state_folder)
    where = "" if is_here else f" on {found.holder.host}"
    stage = f", {found.heartbeat.stage or 'beginning'}" if found.heartbeat else ""
    yield from labelled("process", f"{found.holder.pid}{where}, since {found.holder.since}{stage}")


def _figures(run: RunStatus) -> Iterator[str]:
    """The run's figures and, if they fit in, its lists."""
    rows = f"{run.rows:,} rows" if run.rows is not None else ""
    parts = (f"  {run.run_id}", run.state.value, rows, _done(run))
    figures = "  ".join(part for part in parts if part)
    names = [Path(path).name for path in run.inputs]
    beside = fitting(names, _NAMES)
    if len(figures) + 2 + len(beside) <= WIDTH:
        yield f"{figures}  {beside}".rstrip()
        return
    yield figures
    yield from labelled("lists", fitting(names, WIDTH - TEXT_COLUMN))


def _done(run: RunStatus) -> str:
    if run.lookups is None:
        return "" if run.state is State.UNREADABLE else "not planned yet"
    if run.done == run.lookups:
        return f"{run.lookups:,} lookups"
    share = (run.done or 0) / run.lookups
    return f"{run.done:,} of {run.lookups:,} lookups ({share:.1%})"


def _pace(found: Status) -> Iterator[str]:
    beat = found.heartbeat
    if beat is None:
        return
    if found.is_stalled:
        idle = duration(found.idle_seconds or 0.0)
        yield from labelled("pace", f"nothing has advanced for {idle}: a pause, or an outage")
        return
    of = f" of {beat.total:,}" if beat.total is not None else ""
    pace = f", lately {beat.per_second:,.1f}/s" if beat.per_second else ""
    text = f"{beat.stage}: {beat.done:,}{of}{pace}"
    left = beat.seconds_left
    yield from labelled("pace", text + (f", {duration(left)} left" if left is not None else ""))
    for name, each in (beat.contracts or {}).items():
        asked = f"{each.attempts:,} requests, {each.mean_per_second:,.1f}/s"
        asked += f" of {each.rate_per_second:g}/s{', given up' if each.gave_up else ''}"
        yield from labelled("contract", f"{name}: {asked}")


def _resume(how: Resuming) -> Iterator[str]:
    if how.besides:
        yield from labelled("resume", f"{how.besides}:")
    command = safe_text(how.command)  # not wrapped: it is copied as a whole
    yield f"      {command}" if how.besides else line("resume", command)
