"""Run figures, counted from the written files instead of counters.

Accounting that must hold: input rows = accepted + rejected, and lookups = unique numbers ×
endpoints = success + each failure + skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from batch_screen.errors import BatchScreenError, OutputError, exit_code_of
from batch_screen.masking import safe_line
from batch_screen.model import (
    INCONCLUSIVE,
    ColumnRows,
    Endpoint,
    Erasure,
    OutcomeKind,
    Plan,
    Session,
)
from batch_screen.numbers.rules import RejectReason
from batch_screen.storage.atomic import FILE_MODE, write_atomically
from batch_screen.storage.reading import read_json
from batch_screen.tables.coverage import Changes, Coverage, Saved

COMPLETE, STOPPED = "complete", "stopped"

# As the formatter leaves them, a number a line; no text can have a line break in it.
_NUMBERS = re.compile(rb"\[\n[\s\d.,eE+-]*\n\s*\]")


class Rows(msgspec.Struct, frozen=True):
    """Row counts of the input; ``left_out`` are those below the rows that a limit let through.

    Of several phone columns each cell is a row. ``nul_cells`` are kept cells out of which U+0000
    was dropped.
    """

    read: int
    accepted: int
    rejected: int
    rejected_by_reason: dict[str, int]
    duplicates: int
    unique_numbers: int
    left_out: int = 0
    by_phone_column: dict[str, ColumnRows] = {}
    nul_cells: int = 0

    @property
    def empty_beside_others(self) -> int:
        """Empty cells of several phone columns: who has a mobile need not have another number."""
        columns = self.by_phone_column.values()
        return sum(column.empty for column in columns) if len(columns) > 1 else 0


class LookupFigures(msgspec.Struct, frozen=True):
    """Lookup figures of one endpoint; ``total`` counts those with an outcome.

    ``positives``: swapped, active, or a date. ``unanswered``: requests that a crash left
    without a saved answer; they may have been billed and are not in the cost. ``left``: lookups
    without an outcome, none in a complete run; requests made for them are not in the figures.
    Without a request came those ``derived`` from a date, those ``reused``, and those ``carried``
    over from a superseded run; skipped, and no failure, are those of no interest (``unchanged``)
    and dates that were ``not_needed``.
    """

    total: int
    by_outcome: dict[str, int]
    positives: int
    attempts: int
    refusals: int
    unanswered: int
    latency_ms: dict[str, float]
    cost: float
    left: int = 0
    derived: int = 0
    reused: int = 0
    unchanged: int = 0
    not_needed: int = 0
    carried: int = 0

    @property
    def spared(self) -> int:
        """Lookups that a planner rule made unnecessary: skipped, and not failed."""
        return self.unchanged + self.not_needed

    @property
    def failed(self) -> int:
        """Failed lookups; not_found, not_applicable and unnecessary ones are not among them."""
        fine = [OutcomeKind.SUCCESS, *INCONCLUSIVE]
        return self.total - sum(self.by_outcome.get(kind, 0) for kind in fine) - self.spared


class Ending(msgspec.Struct, frozen=True):
    """Why a run stopped early; ``cause`` is masked.

    ``endpoints`` are those that failed by themselves: the others are answered.
    """

    cause: str
    exit_code: int
    endpoints: list[str] = []

    @classmethod
    def of(cls, error: BaseException, cause: str) -> Ending:
        """The ending by an error, with this wording."""
        return cls(cause, exit_code_of(error), list(getattr(error, "endpoints", ())))


class Judgement(msgspec.Struct, frozen=True):
    """A threshold and its observed figure: a share, an amount, or None with a ``note``."""

    expr: str
    seen: float | None = None
    crossed: bool = False
    note: str = ""
    previous_run: str = ""


class Summary(msgspec.Struct, frozen=True):
    """summary.json, also the source of the closing block.

    ``session`` is the one that wrote it; ``starts`` are all that asked and were not killed.
    ``changes`` are those since the previous complete run, None where there is none. ``risk`` are
    rows of results by value of each column of the risk view.
    ``max_failure_share`` is what guards.max_failure_share was; None: the run is older than that.
    ``coverage`` is that of each check whose windows reach back to earlier runs;
    ``contradictions`` counts, by check, the numbers whose date cannot be true as well.
    ``supersedes`` are the runs whose failed lookups it has asked again, the latest first: its
    tables take the place of theirs. ``erased`` are the erasures since it was complete: its figures
    are those of the rows that are left, but for the rows read, the cost and what was judged then.
    """

    run_id: str
    run_date: str
    version: str
    status: str
    rows: Rows
    endpoints: dict[str, LookupFigures]
    cost: float
    currency: str
    session: Session
    settings: dict[str, object]
    facts: dict[str, str]
    starts: list[Session] = []
    stopped: Ending | None = None
    thresholds: list[Judgement] = []
    exit_code: int = 0
    changes: Changes | None = None
    risk: dict[str, dict[str, int]] = {}
    max_failure_share: float | None = None
    coverage: dict[str, Coverage] = {}
    saved: Saved = Saved()
    contradictions: dict[str, int] = {}
    supersedes: list[str] = []
    erased: list[Erasure] = []

    @property
    def is_stopped(self) -> bool:
        """Whether the run was stopped early and can be resumed."""
        return self.status == STOPPED

    @property
    def left(self) -> int:
        """Lookups without an outcome."""
        return sum(e.left for e in self.endpoints.values())

    @property
    def lookups(self) -> int:
        return sum(e.total for e in self.endpoints.values())

    def erased_rows(self, table: str) -> int:
        """The rows that all erasures together have taken from a table."""
        return sum(each.rows.get(table, 0) for each in self.erased)

    @property
    def unanswered(self) -> int:
        """Requests over all sessions that may have been billed without an answer."""
        return sum(e.unanswered for e in self.endpoints.values())

    @property
    def has_too_many_failures(self) -> bool:
        """Whether more lookups failed than the settings allowed."""
        return self.max_failure_share is not None and self.failure_share > self.max_failure_share

    @property
    def failed(self) -> int:
        """Failed lookups; not_found, not_applicable and unnecessary ones are not among them."""
        return sum(e.failed for e in self.endpoints.values())

    @property
    def failure_share(self) -> float:
        return self.failed / self.lookups if self.lookups else 0.0


def count_rows(plan: Plan) -> Rows:
    """Row counts of the plan. Raises if they do not add up."""
    rejected = sum(plan.rejected.values())
    _must_agree("input rows", plan.rows, "accepted + rejected", plan.accepted + rejected)
    return Rows(
        read=plan.places,
        accepted=plan.accepted,
        rejected=rejected,
        rejected_by_reason=plan.rejected,
        duplicates=plan.duplicates,
        unique_numbers=plan.unique_numbers,
        left_out=plan.left_out,
        by_phone_column=plan.phone_columns,
        nul_cells=plan.nul_cells,
    )


def check_accounting(  # noqa: PLR0913 (what must agree with what)
    plan: Plan,
    endpoints: int,
    counted: Mapping[str, LookupFigures],
    *,
    result_rows: int,
    lookup_rows: int,
    error_rows: int,
) -> None:
    """Raises unless rows and lookups in the written files match the plan."""
    _must_agree("accepted rows", plan.accepted, "result rows", result_rows)
    expected = plan.unique_numbers * endpoints
    total = sum(e.total for e in counted.values())
    _must_agree("lookups planned", expected, "outcomes", total)
    _must_agree("outcomes", total, "lookup rows", lookup_rows)
    for endpoint, figures in counted.items():
        by_outcome = sum(figures.by_outcome.values())
        _must_agree(f"lookups of {endpoint}", figures.total, "success + failures", by_outcome)
    # Errors list whatever is no success, inconclusive answers too, but for what a plan spares.
    failed = sum(
        e.total - e.by_outcome.get(OutcomeKind.SUCCESS, 0) - e.spared for e in counted.values()
    )
    listed = sum(plan.rejected.values()) + failed
    _must_agree("rejected rows + failed lookups", listed, "error rows", error_rows)


def write_summary(path: Path, summary: Summary, mode: int = FILE_MODE) -> None:
    """Writes summary.json, which holds no phone number and no key."""

    def on_one_line(numbers: re.Match[bytes]) -> bytes:
        return b" ".join(numbers[0].split()).replace(b"[ ", b"[").replace(b" ]", b"]")

    indented = msgspec.json.format(msgspec.json.encode(summary))
    write_atomically(path, _NUMBERS.sub(on_one_line, indented) + b"\n", mode=mode)


def read_summary(path: Path) -> Summary:
    """The summary of a complete run. Raises ``OutputError``."""
    try:
        return read_json(path, Summary)
    except (OSError, ValueError) as error:  # msgspec's, or bytes that are no UTF-8
        raise OutputError(
            f"{path} cannot be read though its run is complete; use --new-run to screen again"
        ) from error


def strange_parts(summary: Summary) -> Iterator[str]:
    """What a summary names or says that no run of ours could have written, masked."""
    known = (
        ("endpoint", summary.endpoints, Endpoint),
        (
            "outcome",
            [kind for e in summary.endpoints.values() for kind in e.by_outcome],
            OutcomeKind,
        ),
        ("reason", summary.rows.rejected_by_reason, RejectReason),
    )
    for what, names, kinds in known:
        for name in sorted({*names} - {str(kind) for kind in kinds}):
            yield f"it names an unknown {what}, {safe_line(name, 40)}"
    for session in (*summary.starts, summary.session):
        pace = session.pace
        lengths = {len(pace.attempts), len(pace.refused), len(pace.limit_per_second)}
        if (
            pace.step_seconds <= 0
            or len(lengths) > 1
            or min((0, *pace.attempts, *pace.refused)) < 0
        ):
            yield "the pace of a session has steps that cannot be"


def says_stopped(path: Path) -> bool:
    """Whether the summary is that of a stopped run; an unreadable one may be complete."""
    try:
        return read_json(path, _State).status == STOPPED
    except (OSError, ValueError):
        return False


class _State(msgspec.Struct):
    status: str


def _must_agree(what: str, one: int, other_what: str, other: int) -> None:
    if one != other:
        raise BatchScreenError(
            f"the accounting does not add up: {what} {one}, {other_what} {other}; the run is not "
            "marked complete. Please report this"
        )
