from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Self

import polars as pl
import pytest

from batch_screen.config.sections import Api, Guards
from batch_screen.config.settings import Budget, Pacing, Planner, Schedule, Screening, Settings
from batch_screen.engine import engine
from batch_screen.engine.contracts import by_contract, contracts_of, together
from batch_screen.engine.engine import Asked, run_engine
from batch_screen.errors import (
    AuthenticationError,
    ConfigurationError,
    OutputError,
    Stopped,
)
from batch_screen.journal.segments import SegmentWriter
from batch_screen.model import Answer, ContractPace, Endpoint, Lookup, OutcomeKind, Pace, Plan
from batch_screen.runs.events import RunEvents
from batch_screen.runs.state import Run
from tests.making import made, number

OK = Answer(kind=OutcomeKind.SUCCESS, swapped=False, http_status=200)
DEAD_KEY = Answer(kind=OutcomeKind.FORBIDDEN, http_status=401)
LACKING = Answer(kind=OutcomeKind.FORBIDDEN, http_status=403)
NOT_FOUND = Answer(kind=OutcomeKind.NOT_FOUND, http_status=404)
REFUSED = Answer(kind=OutcomeKind.RATE_LIMITED, http_status=429, retry_after_seconds=1.0)
KEYS = {"DE": "key of DE"}
PREFIX = {"+49": "DE", "+33": "FR", "+44": "GB"}
# GB has no contract of its own; DE has a key and a rate, FR a rate alone.
CELLS = [cell for i in range(100) for cell in (i, 900_000 + i, 950_000 + i)]


def settings_with(**sections: object) -> Settings:
    pacing = Pacing(
        rate_per_second=2000,
        ramp_up_seconds=0,
        rate_per_second_by_region={"de": 2000, "FR": 2000},
    )
    api = Api(keys_by_region={"DE": "de.key"})
    guards = Guards(canary_answers=10)
    return Settings(**{"pacing": pacing, "api": api, "guards": guards, **sections})


SETTINGS = settings_with()


class Server:
    """Stands in for the client; keeps what each key has asked, and when."""

    def __init__(self) -> None:
        self.asked: defaultdict[str, list[Lookup]] = defaultdict(list)
        self.at: defaultdict[str, list[float]] = defaultdict(list)
        self.answer: Callable[[str, Lookup], Answer] = lambda _key, _lookup: OK
        self.under_way: Counter[str] = Counter()
        self.most_under_way: Counter[str] = Counter()

    def __call__(self, api: Api, key: str, *, max_connections: int, clock: object) -> Asking:
        return Asking(self, key)

    @property
    def lookups(self) -> list[Lookup]:
        return [lookup for asked in self.asked.values() for lookup in asked]

    def regions(self, key: str) -> set[str]:
        return {PREFIX[lookup.e164[:3]] for lookup in self.asked[key]}


class Asking:
    """A client with one key."""

    def __init__(self, server: Server, key: str) -> None:
        self._server = server
        self._key = key

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def ask(self, lookup: Lookup, _correlator: str) -> Answer:
        server, region = self._server, PREFIX[lookup.e164[:3]]
        server.asked[self._key].append(lookup)
        server.at[region].append(monotonic())
        server.under_way[region] += 1
        server.most_under_way |= server.under_way
        await asyncio.sleep(0.001)
        server.under_way[region] -= 1
        return server.answer(self._key, lookup)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setattr(engine, "Client", server)
    return server


@pytest.fixture
def planned(tmp_path: Path) -> tuple[Run, Plan]:
    return made(tmp_path, CELLS, SETTINGS, shard_rows=100)


def ask(
    planned: tuple[Run, Plan],
    settings: Settings = SETTINGS,
    keys: Mapping[str, str] = KEYS,
    events: RunEvents | None = None,
    ended: list[Asked] | None = None,
) -> Asked:
    return run_engine(
        *planned,
        settings,
        "the key",
        events or RunEvents(),
        on_end=(ended if ended is not None else []).append,
        how=by_contract(keys),
    )


def sealed(run: Run) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path) for path in sorted(run.sealed.glob("*.parquet"))])


def test_every_lookup_is_asked_once_under_its_regions_contract(
    server: Server, planned: tuple[Run, Plan]
) -> None:
    run, plan = planned
    asked = ask(planned)
    assert len(server.lookups) == len(set(server.lookups)) == asked.attempts == 300
    assert server.regions("key of DE") == {"DE"}
    assert server.regions("the key") == {"GB", "FR"}
    assert sealed(run).height == sealed(run)["e164"].n_unique() == 300
    assert len(list(run.sealed.glob("*.seal"))) == len(plan.shards)
    assert not list(run.journal.glob("*.journal"))
    assert {name: pace.attempts for name, pace in dict(asked.contracts or {}).items()} == {
        "DE": 100,
        "FR": 100,
        "others": 100,
    }


def test_each_contract_has_its_own_full_rate(server: Server, tmp_path: Path) -> None:
    # DE has three times the numbers at three times the rate, and they stand behind all others.
    cells = [*range(60), *range(900_000, 900_180)]
    pacing = Pacing(
        rate_per_second=40,
        ramp_up_seconds=0,
        headroom=0,
        rate_per_second_by_region={"DE": 120},
    )
    settings = settings_with(pacing=pacing)
    asked = ask(made(tmp_path, cells, settings, shard_rows=50), settings)
    # At the same time, and not one after the other.
    assert sum(at < server.at["GB"][-1] for at in server.at["DE"]) > 90
    for region, rate in (("GB", 40), ("DE", 120)):
        at = server.at[region]
        for first, start in enumerate(at):
            assert sum(t - start < 0.95 for t in at[first:]) <= 1.1 * rate, region
    paces = dict(asked.contracts or {})
    assert paces["DE"].rate_per_second == 120
    assert sum(asked.pace.attempts) == 240


def test_a_fast_contract_does_not_wait_for_a_slow_one(server: Server, tmp_path: Path) -> None:
    cells = [cell for i in range(600) for cell in (i, 900_000 + i)]
    pacing = Pacing(rate_per_second=5, ramp_up_seconds=0, rate_per_second_by_region={"DE": 5000})
    settings = settings_with(pacing=pacing, budget=Budget(max_duration_seconds=8))
    with pytest.raises(Stopped):
        ask(made(tmp_path, cells, settings, shard_rows=100), settings)
    assert len(server.asked["key of DE"]) == 600
    assert len(server.asked["the key"]) < 120


def test_one_dead_key_leaves_the_others_to_be_asked(
    server: Server, planned: tuple[Run, Plan]
) -> None:
    run, _ = planned
    server.answer = lambda key, _: DEAD_KEY if key == "key of DE" else OK
    ended: list[Asked] = []
    with pytest.raises(AuthenticationError) as error:
        ask(planned, ended=ended)
    assert str(error.value).startswith("contract of DE: ")
    assert str(error.value).endswith("; what other contracts could ask is answered and saved")
    assert len(server.asked["the key"]) == 200
    assert len(server.asked["key of DE"]) < 60
    assert dict(ended[0].contracts or {})["DE"].gave_up
    # With a key that works the same command asks the rest, and nothing twice.
    server.answer = lambda _key, _lookup: OK
    before = len(server.asked["key of DE"])
    ask(planned)
    assert len(server.asked["the key"]) == 200
    assert len(server.asked["key of DE"]) == before + 100
    assert sealed(run).height == 300


def test_canaries_are_those_of_a_contract(server: Server, planned: tuple[Run, Plan]) -> None:
    run, _ = planned
    server.answer = lambda key, _: LACKING if key == "key of DE" else OK
    with pytest.raises(AuthenticationError, match="contract of DE: the first 10 answers"):
        ask(planned)
    assert len(server.asked["key of DE"]) <= 10 + server.most_under_way["DE"]
    assert len(server.asked["the key"]) == 200
    assert not list(run.sealed.glob("*.seal"))


def test_a_proved_contract_needs_no_canary_again(server: Server, tmp_path: Path) -> None:
    planned = made(tmp_path, CELLS, SETTINGS, shard_rows=50)
    with pytest.raises(Stopped):
        ask(planned, settings_with(budget=Budget(max_requests=200)))
    server.answer = lambda _key, _lookup: NOT_FOUND
    ask(planned)  # the rest is all unknown, which proves nothing against it any more
    assert sealed(planned[0]).height == 300


def test_refusals_of_one_account_slow_down_nobody_else(
    server: Server, planned: tuple[Run, Plan]
) -> None:
    refused: Counter[str] = Counter()

    def answer(key: str, lookup: Lookup) -> Answer:
        if key == "key of DE" and (refused.update([lookup.e164]) or refused.total()) <= 20:
            return REFUSED
        return OK

    server.answer = answer
    asked = ask(planned)
    paces = dict(asked.contracts or {})
    assert paces["DE"].refused == 20
    assert paces["FR"].refused == paces["others"].refused == 0
    assert paces["others"].seconds < paces["DE"].seconds > 1  # as its Retry-After says


@pytest.mark.parametrize("bound", [1, 97, 150, 299])
def test_the_budget_of_all_is_never_exceeded(
    server: Server, planned: tuple[Run, Plan], bound: int
) -> None:
    with pytest.raises(Stopped, match="max_requests"):
        ask(planned, settings_with(budget=Budget(max_requests=bound)))
    assert len(server.lookups) == bound
    ask(planned)
    assert len(server.lookups) == len(set(server.lookups)) == 300


def test_a_full_disk_ends_all(
    server: Server, planned: tuple[Run, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, calls = SegmentWriter.sync, Counter[str]()

    def failing(self: SegmentWriter, shard: int) -> None:
        calls["sync"] += 1
        if calls["sync"] == 2:
            raise OSError(28, "No space left on device")
        sync(self, shard)

    monkeypatch.setattr(SegmentWriter, "sync", failing)
    slow = Pacing(rate_per_second=100, rate_per_second_by_region={"DE": 100}, ramp_up_seconds=0)
    with pytest.raises(OutputError, match="No space left"):
        ask(planned, settings_with(pacing=slow))
    assert len(server.lookups) < 200


def test_rules_of_the_planner_hold_under_each_contract(server: Server, tmp_path: Path) -> None:
    check, date = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
    settings = settings_with(
        screening=Screening(endpoints=[check, date]),
        planner=Planner(only_where_changed={date: check}),
    )
    swapped = {number(900_003), number(5)}
    server.answer = lambda _key, lookup: Answer(
        kind=OutcomeKind.SUCCESS, swapped=lookup.e164 in swapped, http_status=200
    )
    run, plan = made(tmp_path, CELLS, settings, shard_rows=100)
    ask((run, plan), settings)
    assert {each.e164 for each in server.lookups if each.endpoint is date} == swapped
    assert sealed(run).height == 600


def test_an_empty_region_and_a_finished_run_ask_nothing(server: Server, tmp_path: Path) -> None:
    planned = made(tmp_path, list(range(120)), SETTINGS, shard_rows=50)
    assert ask(planned).attempts == 120
    assert ask(planned).attempts == 0


def test_a_broken_journal_writer_is_no_contracts_own_error(
    server: Server, planned: tuple[Run, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(SegmentWriter, "note", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        ask(planned)


def test_figures_are_shown_meanwhile(
    server: Server, planned: tuple[Run, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch_screen.engine.contracts._SHOWN_SECONDS", 0.01)
    seen: list[dict[str, ContractPace]] = []
    ask(planned, events=RunEvents(on_contracts=seen.append))
    assert list(seen[-1]) == ["DE", "FR", "others"]


def test_requests_under_way_are_shared_by_rate() -> None:
    pacing = Pacing(rate_per_second=1, rate_per_second_by_region={"DE": 100, "FR": 25})
    found = contracts_of(settings_with(pacing=pacing), "", {})
    assert {c.name: c.settings.pacing.max_concurrency for c in found} == {
        "DE": 202,
        "FR": 50,
        "others": 4,
    }
    few = pacing.model_copy(update={"max_concurrency": 2})
    with pytest.raises(ConfigurationError, match="max_concurrency = 2 is less than"):
        contracts_of(settings_with(pacing=few), "", {})


def test_a_key_alone_makes_a_contract_at_the_usual_rate() -> None:
    settings = Settings(api=Api(keys_by_region={"UK": "gb.key"}))
    assert settings.contracts == {"GB": 10.0, "others": 10.0}
    assert Settings().contracts == {}
    assert [c.key for c in contracts_of(settings, "a", {"GB": "b"})] == ["b", "a"]


def test_contracts_belong_to_no_identity() -> None:
    assert settings_with().identity() == Settings(guards=Guards(canary_answers=10)).identity()


def test_a_timetable_bounds_each_contract(server: Server, planned: tuple[Run, Plan]) -> None:
    schedule = Schedule(rate_per_second_by_hour={"00-12": 500, "12-00": 500})
    asked = ask(planned, settings_with(schedule=schedule))
    assert max(asked.pace.limit_per_second) <= 3 * 500
    assert asked.attempts == 300


def test_paces_of_other_lengths_add_up() -> None:
    longer = Pace(2.0, [5, 1], [1, 0], [6.0, 6.0], 1.5)
    assert together([Pace(1.0, [1, 2, 3], [0, 0, 1], [4.0] * 3), longer]) == Pace(
        2.0, [8, 4], [1, 1], [10.0, 10.0], 1.5
    )
