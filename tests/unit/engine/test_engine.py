from __future__ import annotations

import asyncio
import gc
import signal
import weakref
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from batch_screen.config.screening import Screening
from batch_screen.config.sections import Api, Guards
from batch_screen.config.settings import Pacing, Settings
from batch_screen.engine import engine
from batch_screen.engine.engine import Asked, collect, collecting, run_engine
from batch_screen.errors import AuthenticationError, ConfigurationError, OutputError, Stopped
from batch_screen.journal.segments import SegmentWriter
from batch_screen.model import Answer, Endpoint, Intent, Lookup, Outcome, OutcomeKind, Plan
from batch_screen.runs.events import CancelToken, RunEvents, Silent
from batch_screen.runs.state import Run
from tests.making import made, number

CHECK, DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
OK = Answer(kind=OutcomeKind.SUCCESS, swapped=False, http_status=200)
NOT_FOUND = Answer(kind=OutcomeKind.NOT_FOUND, http_status=404)
DEAD_KEY = Answer(kind=OutcomeKind.FORBIDDEN, http_status=401)
SETTINGS = Settings(
    pacing=Pacing(rate_per_second=5000, ramp_up_seconds=0),
    guards=Guards(canary_answers=10),
)


class Server:
    """Stands in for the client: answers every lookup at once and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Lookup] = []
        self.keys: list[str] = []
        self.answer: Callable[[int], Answer] = lambda _: OK
        self.latency = 0.001
        self.under_way: Counter[Endpoint] = Counter()
        self.most_under_way: Counter[Endpoint] = Counter()

    def __call__(self, api: Api, key: str, *, max_connections: int, clock: object) -> Self:
        self.keys.append(key)
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.keys.append("closed")

    async def ask(self, lookup: Lookup, _correlator: str) -> Answer:
        self.asked.append(lookup)
        self.under_way[lookup.endpoint] += 1
        self.most_under_way |= self.under_way  # the larger count of each
        answer = self.answer(len(self.asked))
        await asyncio.sleep(self.latency)
        self.under_way[lookup.endpoint] -= 1
        return answer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setattr(engine, "Client", server)
    return server


class Heard(Silent):
    def __init__(self) -> None:
        self.stages: list[tuple[str, int | None, int]] = []
        self.saved = 0

    def stage(self, name: str, *, total: int | None = None, done: int = 0) -> None:
        self.stages.append((name, total, done))

    def advance(self, count: int) -> None:
        self.saved += count


def sealed(run: Run) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path) for path in sorted(run.sealed.glob("*.parquet"))])


@pytest.fixture
def planned(tmp_path: Path) -> tuple[Run, Plan]:
    return made(tmp_path, [i % 150 for i in range(300)], SETTINGS, shard_rows=100)


def test_every_lookup_of_the_plan_has_an_outcome(server: Server, planned: tuple[Run, Plan]) -> None:
    run, plan = planned
    heard = Heard()
    asked = run_engine(run, plan, SETTINGS, "the key", RunEvents(heard))
    assert len(server.asked) == len(set(server.asked)) == asked.attempts == 150
    assert sealed(run).height == 150
    assert heard.stages == [("asking", 150, 0)]
    assert heard.saved == 150
    assert server.keys == ["the key", "closed"]
    assert asked.seconds > 0


def test_a_finished_run_asks_nothing(server: Server, planned: tuple[Run, Plan]) -> None:
    run_engine(*planned, SETTINGS, "", RunEvents())
    heard = Heard()
    assert run_engine(*planned, SETTINGS, "", RunEvents(heard)).attempts == 0
    assert len(server.asked) == 150
    assert heard.stages == [("asking", 150, 150)]


def test_a_stop_saves_what_was_answered_and_a_resume_buys_the_rest(
    server: Server, planned: tuple[Run, Plan]
) -> None:
    run, plan = planned
    stop = CancelToken()

    class Stopping(Heard):
        def advance(self, count: int) -> None:
            super().advance(count)
            if self.saved and not stop.is_requested:
                stop.request(signal.SIGTERM)

    slow = SETTINGS.model_copy(update={"pacing": Pacing(rate_per_second=400, ramp_up_seconds=0)})
    first, second = Stopping(), Heard()
    with pytest.raises(Stopped) as caught:
        run_engine(run, plan, slow, "", RunEvents(first, stop))
    assert caught.value.exit_code == 143
    asked_first = len(server.asked)
    assert 0 < first.saved == asked_first < 150
    run_engine(run, plan, SETTINGS, "", RunEvents(second))
    assert len(server.asked) == len(set(server.asked)) == 150
    assert second.stages == [("asking", 150, asked_first)]
    assert second.saved == 150 - asked_first


def test_a_stop_that_was_wished_for_before_sends_nothing(
    server: Server, planned: tuple[Run, Plan]
) -> None:
    stop = CancelToken()
    stop.request(signal.SIGINT)
    with pytest.raises(Stopped):
        run_engine(*planned, SETTINGS, "", RunEvents(Silent(), stop))
    assert server.asked == []


def test_a_dead_key_stops_and_costs_nothing_that_was_saved(
    server: Server, planned: tuple[Run, Plan]
) -> None:
    run, plan = planned
    server.answer = lambda count: OK if count <= 60 else DEAD_KEY
    with pytest.raises(AuthenticationError):
        run_engine(run, plan, SETTINGS, "", RunEvents())
    dead = server.asked[60:]
    assert len(dead) <= 2 * SETTINGS.pacing.max_concurrency
    server.answer = lambda _: OK
    asked = run_engine(run, plan, SETTINGS, "", RunEvents())
    assert asked.attempts == 90
    assert sealed(run)["attempts"].to_list() == [1] * 150


def test_a_moved_path_saves_nothing(server: Server, planned: tuple[Run, Plan]) -> None:
    run, plan = planned
    server.answer = lambda _: NOT_FOUND
    heard = Heard()
    with pytest.raises(ConfigurationError, match="path may have moved"):
        run_engine(run, plan, SETTINGS, "", RunEvents(heard))
    assert heard.saved == 0
    server.answer = lambda _: OK
    run_engine(run, plan, SETTINGS, "", RunEvents(heard))
    assert set(sealed(run)["outcome"]) == {"success"}


def test_what_an_earlier_start_has_proved_needs_no_canary(
    server: Server, planned: tuple[Run, Plan]
) -> None:
    run, plan = planned
    server.answer = lambda count: OK if count <= 30 else DEAD_KEY
    with pytest.raises(AuthenticationError):
        run_engine(run, plan, SETTINGS, "", RunEvents())
    server.answer = lambda _: NOT_FOUND
    run_engine(run, plan, SETTINGS, "", RunEvents())
    assert sorted(sealed(run)["outcome"].value_counts().rows()) == [
        ("not_found", 120),
        ("success", 30),
    ]


def test_too_few_lookups_for_the_canary_are_saved_and_sealed(
    server: Server, tmp_path: Path
) -> None:
    run, plan = made(tmp_path, [1, 2, 3], SETTINGS)
    server.answer = lambda _: NOT_FOUND
    run_engine(run, plan, SETTINGS, "", RunEvents())
    assert sealed(run)["outcome"].to_list() == ["not_found"] * 3


def test_a_full_disk_stops_the_run(
    server: Server, planned: tuple[Run, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SegmentWriter, "sync", full)
    slow = SETTINGS.model_copy(update={"pacing": Pacing(rate_per_second=200, ramp_up_seconds=0)})
    with pytest.raises(OutputError, match="No space left on device"):
        run_engine(*planned, slow, "", RunEvents())
    assert len(server.asked) < 50


def test_requests_of_a_killed_start_may_have_been_billed(server: Server, tmp_path: Path) -> None:
    run, plan = made(tmp_path, [1, 2, 3], SETTINGS)
    writer = SegmentWriter(run.journal, run.run_id)
    writer.write(0, [Intent(number(i), CHECK, 2400) for i in (1, 2)])
    writer.write(0, [Outcome(number(1), CHECK, 2400, OutcomeKind.SUCCESS)])
    writer.close()
    asked = run_engine(run, plan, SETTINGS, "", RunEvents())
    assert asked.attempts == 2
    assert sealed(run)["unanswered"].to_list() == [0, 1, 0]


def test_several_endpoints_are_all_asked(server: Server, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"screening": Screening(endpoints=tuple(Endpoint))})
    run, plan = made(tmp_path, [1, 2, 2], settings)
    run_engine(run, plan, settings, "", RunEvents())
    windows: dict[Endpoint, Any] = {
        lookup.endpoint: lookup.max_age_minutes for lookup in server.asked
    }
    assert windows == {e: 2400 if e.takes_max_age else None for e in Endpoint}
    assert sealed(run).height == 10


# --- closing time, timetable, budget, pace ----------------------------------------------------


class Wall:
    """A clock on the wall that showed ``start`` when the test began."""

    def __init__(self, start: datetime) -> None:
        self._start, self._began = start, monotonic()

    def __call__(self) -> datetime:
        return self._start + timedelta(seconds=monotonic() - self._began)


def with_settings(**sections: dict[str, Any]) -> Settings:
    pacing = {"rate_per_second": 100, "ramp_up_seconds": 0} | sections.pop("pacing", {})
    return Settings(pacing=pacing, **sections)


def test_at_last_orders_nothing_more_is_asked(
    server: Server, planned: tuple[Run, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    wall = Wall(datetime(2026, 11, 24, 5, 59, 59, tzinfo=berlin))
    monkeypatch.setattr(engine, "_now", wall)
    settings = with_settings(schedule={"stop_at": "06:00", "timezone": "Europe/Berlin"})
    ended: list[Asked] = []
    with pytest.raises(Stopped, match=r"before 06:00 \(Europe/Berlin\)") as stopped:
        run_engine(*planned, settings, "", RunEvents(), on_end=ended.append)
    assert stopped.value.exit_code == 4
    assert wall() < datetime(2026, 11, 24, 6, 0, 0, tzinfo=berlin)
    assert 0 < len(server.asked) == ended[0].attempts < 100, "how many depends on the machine"
    assert sum(ended[0].pace.attempts) == ended[0].attempts
    run_engine(*planned, SETTINGS, "", RunEvents())
    assert len(server.asked) == len(set(server.asked)) == 150


def test_a_start_that_is_over_before_it_asks_asks_nothing(
    server: Server, planned: tuple[Run, Plan]
) -> None:
    settings = with_settings(budget={"max_duration_seconds": 5})
    long_ago = datetime.now(UTC) - timedelta(seconds=60)
    with pytest.raises(Stopped, match="max_duration_seconds"):
        run_engine(*planned, settings, "", RunEvents(), began_at=long_ago)
    assert server.asked == []
    run_engine(*planned, SETTINGS, "", RunEvents())
    assert run_engine(*planned, settings, "", RunEvents(), began_at=long_ago).attempts == 0


def test_the_hour_sets_the_rate(
    server: Server, planned: tuple[Run, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_now", Wall(datetime(2026, 11, 24, 7, 59, 59, tzinfo=UTC)))
    settings = with_settings(
        pacing={"rate_per_second": 2000}, schedule={"rate_per_second_by_hour": {"07-08": 10}}
    )
    asked = run_engine(*planned, settings, "", RunEvents())
    assert asked.attempts == 150
    assert 1 <= asked.seconds < 10  # at ten a second it would be fifteen
    assert asked.pace.attempts[0] <= 12


def test_a_budget_counts_what_earlier_starts_have_spent(
    server: Server, planned: tuple[Run, Plan]
) -> None:
    for bound, asked in ((100, 100), (100, 100), (130, 130)):
        settings = with_settings(pacing={"rate_per_second": 2000}, budget={"max_requests": bound})
        with pytest.raises(Stopped, match="max_requests"):
            run_engine(*planned, settings, "", RunEvents())
        assert len(server.asked) == asked


class Knot:
    """Holds on to itself: only the collector can take it away."""

    def __init__(self) -> None:
        self.itself = self


def test_garbage_goes_with_the_pulse_and_python_is_left_as_it_was() -> None:
    assert gc.isenabled()
    with collecting():
        assert not gc.isenabled()
        knot = weakref.ref(Knot())
        assert knot() is not None
        for pulse in range(1, 5):
            collect(pulse)
        assert knot() is None
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_garbage_that_has_grown_old_goes_too() -> None:
    with collecting():
        knot = Knot()
        for pulse in range(1, 9):
            collect(pulse)
        gone = weakref.ref(knot)
        del knot
        for pulse in range(9, 249):
            collect(pulse)
        assert gone() is None


def test_a_failure_inside_leaves_python_as_it_was() -> None:
    with pytest.raises(ValueError, match="inside"), collecting():
        raise ValueError("inside")
    assert gc.isenabled()


@pytest.mark.parametrize(("answered", "slots"), [(60, 8), (59, 4)])
def test_an_endpoint_may_use_every_slot_once_the_others_have_all_their_outcomes(
    server: Server, tmp_path: Path, answered: int, slots: int
) -> None:
    pacing = Pacing(rate_per_second=5000, ramp_up_seconds=0, max_concurrency=8)
    screening = Screening(endpoints=(CHECK, DATE))
    settings = SETTINGS.model_copy(update={"screening": screening, "pacing": pacing})
    run, plan = made(tmp_path, range(60), settings)
    writer = SegmentWriter(run.journal, run.run_id)
    success = OutcomeKind.SUCCESS
    writer.write(0, [Outcome(number(i), DATE, kind=success) for i in range(answered)])
    writer.close()
    server.latency = 0.02
    run_engine(run, plan, settings, "", RunEvents())
    assert server.most_under_way[CHECK] == slots
