"""How a start that met a fault ended: with one clear line, in time, and nothing lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from batch_screen.sandbox.run import SandboxThread
from tests.e2e.conftest import CONCURRENCY, as_text

from .figures import Figures, Measure
from .judge import Session, read_requests
from .trial import PER_KILL_MOST, Trial

CANNOT_WRITE = 73
_TOLD = ("reading: ", "asking: ", "writing: ", "run ", "warning: ")
"""How lines begin that every run may say."""


def problem_of(code: int, said: str, codes: Iterable[int], words: str = "") -> str:
    """What is wrong with an end that should be one line and one of the codes; empty: nothing."""
    lines = [as_text(line) for line in said.splitlines() if line]
    errors = [line for line in lines if line.startswith("Error: ")]
    others = [line for line in lines if not line.startswith(("Error: ", *_TOLD))]
    if code not in codes:
        return f"exit code {code} with {errors or others[-3:]}"
    if len(errors) != 1 or others or words not in errors[0]:
        return f"it said {said!r}"
    return ""


def resume(
    trial: Trial,
    server: SandboxThread,
    undisturbed: Mapping[str, Any],
    *,
    fault: str,
    met: Session,
    problem: str,
    fault_at: float | None = None,
    per_kill_most: int = PER_KILL_MOST,
) -> Figures:
    """Ends the run whose one start met the fault, and the figures of both.

    ``fault_at`` is the instant from which no more requests should be sent, where it is known.
    """
    if met.code:
        ended = trial.run()
        assert ended.code == 0, f"{fault}: the resume ended with {ended.code}"
    late = [] if fault_at is None else [r for r in _of(trial, met) if r.at > fault_at]
    figures = trial.figures(
        server,
        undisturbed,
        faults=int(met.code != 0),
        per_kill_most=per_kill_most,
        measures=[
            Measure("requests after the fault", len(late) if met.code else 0, CONCURRENCY),
            Measure("not one clear line", int(bool(problem)), 0),
        ],
    )
    example = (f"{fault}: {problem}",) if problem else ()
    return replace(figures, examples=(*figures.examples, *example))


def _of(trial: Trial, session: Session) -> list[Any]:
    if not trial.log.exists():
        return []
    return [line for line in read_requests(trial.log) if line.at < session.ended]
