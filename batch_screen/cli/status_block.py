"""What ``status`` prints: a line for each run, and more of what runs or can be resumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from batch_screen.cli.report_lines import TEXT_COLUMN, WIDTH, fitting, labelled
from batch_screen.cli.resume_line import Resuming
from batch_screen.standing import RunStanding, Standing, State
from batch_screen.webpage.words import duration

_NAMES = 30


def status_block(found: Standing, resuming: Mapping[str, Resuming]) -> str:
    """The runs of a folder; ``resuming`` says by run id how those that stopped go on."""
    lines = [f"status of {found.state_folder}", "", *_process(found)]
    if not found.runs:
        lines += labelled("runs", "none: nothing has run there, or its state was removed")
    for run in found.runs:
        lines += _line(run)
        if run.state is State.RUNNING:
            lines += _pace(found)
        elif run.state is State.UNREADABLE:
            lines += labelled("problem", run.problem)
        elif run.run_id in resuming:
            lines += _resume(resuming[run.run_id])
    return "\n".join(lines)


def _process(found: Standing) -> Iterator[str]:
    if found.holder is None:
        return
    where = "" if found.holder.is_alive else f" on {found.holder.host}"
    stage = f", {found.under_way.stage or 'beginning'}" if found.under_way else ""
    yield from labelled("process", f"{found.holder.pid}{where}, since {found.holder.since}{stage}")


def _line(run: RunStanding) -> Iterator[str]:
    """The run's figures and, where there is room beside them, its lists."""
    rows = f"{run.rows:,} rows" if run.rows is not None else ""
    parts = (f"  {run.run_id}", run.state.value, rows, _done(run))
    line = "  ".join(part for part in parts if part)
    names = [Path(path).name for path in run.inputs]
    beside = fitting(names, _NAMES)
    if len(line) + 2 + len(beside) <= WIDTH:
        yield f"{line}  {beside}".rstrip()
        return
    yield line
    yield from labelled("lists", fitting(names, WIDTH - TEXT_COLUMN))


def _done(run: RunStanding) -> str:
    if run.lookups is None:
        return "" if run.state is State.UNREADABLE else "not planned yet"
    if run.done == run.lookups:
        return f"{run.lookups:,} lookups"
    share = (run.done or 0) / run.lookups
    return f"{run.done:,} of {run.lookups:,} lookups ({share:.1%})"


def _pace(found: Standing) -> Iterator[str]:
    under_way = found.under_way
    if under_way is None:
        return
    if found.is_stalled:
        idle = duration(found.idle_seconds or 0.0)
        yield from labelled("pace", f"nothing has advanced for {idle}: a pause, or an outage")
        return
    of = f" of {under_way.total:,}" if under_way.total is not None else ""
    pace = f", lately {under_way.per_second:,.1f}/s" if under_way.per_second else ""
    text = f"{under_way.stage}: {under_way.done:,}{of}{pace}"
    left = under_way.seconds_left
    yield from labelled("pace", text + (f", {duration(left)} left" if left is not None else ""))


def _resume(how: Resuming) -> Iterator[str]:
    if how.besides:
        yield from labelled("resume", f"{how.besides}:")
    # Not wrapped: a command is copied as a whole.
    yield f"      {how.command}" if how.besides else f"  resume ....... {how.command}"
