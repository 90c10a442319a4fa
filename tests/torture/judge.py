"""From what the server saw and what was on disk to figures. Changes nothing, starts nothing.

*Saved* is what a sealed file or a line of the journal said when a start had ended.
*Bought* is a request that the server admitted: refusals of key, account and rate cost nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import polars as pl

from batch_screen.engine.retry import NOT_COUNTED
from batch_screen.journal.seal import read_sealed
from batch_screen.journal.segments import Replay, shards_with_segments
from batch_screen.model import Attempt, Endpoint, Outcome, OutcomeKind, WithheldOutcome
from batch_screen.runs.state import all_runs
from batch_screen.sandbox.answers import World
from batch_screen.sandbox.statistics import RequestLine
from tests.e2e.conftest import known

from .figures import Figures

_REFUSED = frozenset({401, 402, 408, 429})


class Asked(NamedTuple):
    """A lookup as the server and the state both name it."""

    number: str
    endpoint: str


@dataclass(frozen=True)
class State:
    """What the state folder says: the saved lookups, and how many requests are on record."""

    saved: frozenset[Asked] = frozenset()
    on_record: Counter[Asked] = field(default_factory=Counter)


@dataclass(frozen=True)
class Session:
    """One start: nothing it sent arrived before ``began``; ``ended`` precedes its last signal.

    ``is_killed`` says that it could not save any more; ``state`` is what it left.
    """

    began: float
    ended: float
    code: int
    is_killed: bool
    state: State
    phase: str


def read_state(folder: Path) -> State:
    """The state folder as it is now, read without touching it."""
    saved: set[Asked] = set()
    on_record: Counter[Asked] = Counter()
    for run in all_runs(folder):
        sealed = {int(path.stem) for path in run.sealed.glob("*.seal")}
        for shard in sealed:
            rows = read_sealed(run.sealed, run.run_id, shard)
            for row in rows.select("e164", "endpoint", "attempts", "refusals").iter_rows():
                number, endpoint, attempts, refusals = row
                saved.add(Asked(number, endpoint))
                on_record[Asked(number, endpoint)] = attempts - refusals
        for shard in {*shards_with_segments(run.journal)} - sealed:
            _learn(Replay(run.journal, run.run_id, shard), saved, on_record)
    return State(frozenset(saved), on_record)


def _learn(records: Iterable[object], saved: set[Asked], on_record: Counter[Asked]) -> None:
    for record in records:
        if isinstance(
            record, WithheldOutcome
        ):  # a stop kept it, to be judged with those still to come
            record = record.outcome  # noqa: PLW2901
        if isinstance(record, Outcome):
            lookup = Asked(record.e164, str(record.endpoint))
            saved.add(lookup)
            on_record[lookup] = record.attempts - record.refusals
        elif isinstance(record, Attempt) and record.reason not in NOT_COUNTED:
            is_bought = record.kind is not OutcomeKind.RATE_LIMITED
            on_record[Asked(record.e164, str(record.endpoint))] += is_bought


def read_requests(log: Path) -> list[RequestLine]:
    """Every request of the log that was about a lookup, in the order of arrival."""
    decoder = msgspec.json.Decoder(RequestLine)
    lines = [decoder.decode(line) for line in log.read_bytes().splitlines()]
    return sorted((line for line in lines if line.number), key=lambda line: line.at)


def bought(requests: Iterable[RequestLine]) -> Counter[Asked]:
    """How often each lookup was bought."""
    return Counter(_asked(line) for line in requests if line.status not in _REFUSED)


def _asked(line: RequestLine) -> Asked:
    return Asked(line.number or "", line.endpoint or "")


@dataclass(frozen=True)
class Purchases:
    """What was bought more than once, and why that was not needed."""

    after_saved: list[str]
    per_session: list[int]
    age_ms: float


def judge_purchases(sessions: Sequence[Session], requests: Sequence[RequestLine]) -> Purchases:
    """The purchases of all sessions; the answers lost in the killed ones give the age."""
    after_saved: list[str] = []
    per_session: list[int] = []
    age_ms = 0.0
    before = State()
    for session, mine, later in _windows(sessions, requests):
        asked, again = bought(mine), bought(later)
        left = session.state
        news = {n: times - (left.on_record[n] - before.on_record[n]) for n, times in asked.items()}
        off_record = {lookup for lookup, times in news.items() if times > 0}
        after_saved += [f"{_shown(n)} asked after it was saved" for n in left.saved & again.keys()]
        after_saved += [f"{_shown(n)} asked twice in one start" for n in left.saved & off_record]
        lost = off_record - left.saved
        per_session.append(len(lost & again.keys()))
        if session.is_killed:
            age_ms = max(age_ms, *(1000 * age for age in _ages(session, mine, lost)), 0.0)
        before = left
    return Purchases(after_saved, per_session, age_ms)


def _windows(
    sessions: Sequence[Session], requests: Sequence[RequestLine]
) -> Iterator[tuple[Session, list[RequestLine], list[RequestLine]]]:
    """Each session with its own requests and all later ones.

    What a killed process had sent may reach a busy server after the kill, so its requests are
    those up to the next start.
    """
    for number, session in enumerate(sessions):
        ends = sessions[number + 1].began if number + 1 < len(sessions) else float("inf")
        mine = [line for line in requests if session.began <= line.at < ends]
        yield session, mine, [line for line in requests if line.at >= ends]


def _ages(session: Session, mine: Iterable[RequestLine], lost: set[Asked]) -> Iterator[float]:
    for line in mine:
        if line.is_clean and line.ended_at < session.ended and _asked(line) in lost:
            yield session.ended - line.ended_at


def _shown(lookup: Asked) -> str:
    return f"…{lookup.number[-3:]} {lookup.endpoint}"


def judge_lookups(lookups: pl.DataFrame, expected: Iterable[Asked], world: World) -> dict[str, int]:
    """``missing``, ``duplicates`` and ``wrong`` of the table that was published."""
    wanted = set(expected)
    found = Counter(Asked(*row) for row in lookups.select("e164", "endpoint").iter_rows())
    strangers = sum(times for lookup, times in found.items() if lookup not in wanted)
    answered = lookups.filter(pl.col("outcome").is_in(["success", "not_found", "forbidden"]))
    untrue = sum(not _is_true(row, world) for row in answered.iter_rows(named=True))
    return {
        "lookups": len(wanted),
        "missing": len(wanted - found.keys()),
        "duplicates": lookups.height - len(found),
        "wrong": strangers + untrue,
    }


def _is_true(row: Mapping[str, Any], world: World) -> bool:
    expected = known(row["e164"], Endpoint(row["endpoint"]), row["max_age_minutes"], world)
    return all(row[name] == value for name, value in expected.items())


def judge_bill(lookups: pl.DataFrame, requests: Iterable[RequestLine]) -> dict[str, int]:
    """What the table says may have been billed unanswered, and what the server knows of it."""
    told = lookups.select("e164", "endpoint", on_record=pl.col("attempts") - pl.col("refusals"))
    on_record = {Asked(number, endpoint): count for number, endpoint, count in told.iter_rows()}
    excess = (times - on_record.get(n, 0) for n, times in bought(requests).items())
    shown = int(lookups["unanswered"].sum())
    return {"billed_shown": shown, "billed_true": sum(max(0, more) for more in excess)}


def dead_key_requests(requests: Iterable[RequestLine]) -> int:
    """How many requests came with a key that the server refused."""
    return sum(line.status == 401 for line in requests)


def judge(
    scenario: str,
    seed: int,
    *,
    sessions: Sequence[Session],
    requests: Sequence[RequestLine],
    lookups: pl.DataFrame,
    expected: Iterable[Asked],
    world: World,
) -> Figures:
    """The figures of everything but what only a witness at the time could see."""
    purchases = judge_purchases(sessions, requests)
    phases = Counter(session.phase for session in sessions if session.is_killed)
    return Figures(
        scenario,
        (seed,),
        faults=sum(session.is_killed for session in sessions),
        starts=len(sessions),
        bought_after_saved=len(purchases.after_saved),
        per_kill=max(purchases.per_session, default=0),
        age_ms=purchases.age_ms,
        dead_key=dead_key_requests(requests),
        phases=phases,
        examples=tuple(purchases.after_saved[:5]),
        **judge_lookups(lookups, expected, world),
        **judge_bill(lookups, requests),
    )
