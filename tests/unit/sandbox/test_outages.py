from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from batch_screen.errors import ConfigurationError
from batch_screen.model import Endpoint
from batch_screen.sandbox.config import SandboxConfig
from batch_screen.sandbox.magic import Behaviour, Fault
from batch_screen.sandbox.profiles import FaultRule, Outages, ScriptedOutage
from batch_screen.sandbox.run import SandboxThread

from .conftest import Client

CHECK = Endpoint.SIM_SWAP_CHECK
NUMBER = "+46701740605"
DOWN = Behaviour.DOWN


def on(outages: Outages, *instants: float) -> list[Behaviour | None]:
    met = [outages.meet(instant) for instant in instants]
    return [each[0].behaviour if each else None for each in met]


def statuses(client: Client, count: int) -> list[int]:
    return [client.ask(CHECK, NUMBER).status for _ in range(count)]


def test_no_outage_is_planned() -> None:
    assert on(Outages(()), 0, 1e9) == [None, None]


def test_an_outage_after_requests_begins_with_the_next_one_however_late() -> None:
    outages = Outages([ScriptedOutage(behaviour=DOWN, lasting_seconds=2, after_requests=2)])
    assert on(outages, 0, 1, 50, 51.9, 52, 60) == [None, None, DOWN, DOWN, None, None]


def test_an_outage_in_time_counts_from_the_first_request() -> None:
    outages = Outages([ScriptedOutage(behaviour=DOWN, lasting_seconds=2, at_seconds=10)])
    assert on(outages, 100, 109.9, 110, 111.9, 112) == [None, None, DOWN, DOWN, None]


def test_without_a_beginning_an_outage_begins_at_once() -> None:
    assert on(Outages([ScriptedOutage(behaviour=DOWN, lasting_seconds=1)]), 7, 8) == [DOWN, None]


def test_of_two_outages_the_first_named_is_met_and_the_seconds_left_are_told() -> None:
    outages = Outages(
        [
            ScriptedOutage(behaviour=Behaviour.HANG, lasting_seconds=1, at_seconds=1),
            ScriptedOutage(behaviour=DOWN, lasting_seconds=4),
        ]
    )
    assert on(outages, 0, 1, 2.5, 5) == [DOWN, Behaviour.HANG, DOWN, None]
    met = Outages([ScriptedOutage(behaviour=None, lasting_seconds=4)]).meet(0)
    assert met is not None
    assert met[1] == 4


@pytest.mark.parametrize(
    "outage",
    [
        ScriptedOutage(behaviour=DOWN, lasting_seconds=0),
        ScriptedOutage(behaviour=DOWN, lasting_seconds=float("inf")),
        ScriptedOutage(behaviour=DOWN, lasting_seconds=1, after_requests=-1),
        ScriptedOutage(behaviour=DOWN, lasting_seconds=1, at_seconds=-1),
        ScriptedOutage(behaviour=DOWN, lasting_seconds=1, after_requests=1, at_seconds=1),
    ],
)
def test_an_outage_that_cannot_be_meant_is_refused(outage: ScriptedOutage) -> None:
    with pytest.raises(ConfigurationError, match="an outage of the sandbox must last a while"):
        SandboxConfig(outages=(outage,))


def test_everybody_meets_it_even_magic_numbers_and_then_it_is_over(
    start: Callable[..., Client],
) -> None:
    outage = ScriptedOutage(behaviour=DOWN, lasting_seconds=0.3, after_requests=2)
    client = start(outages=(outage,))
    assert statuses(client, 2) == [200, 200]
    began = time.monotonic()
    assert client.ask(CHECK, NUMBER).status == 503
    while client.ask(CHECK, NUMBER).status == 503:
        assert time.monotonic() - began < 20
    assert time.monotonic() - began >= 0.3
    assert statuses(client, 3) == [200, 200, 200]


def test_an_outage_comes_again_after_a_reset(start: Callable[..., Client]) -> None:
    client = start(outages=(ScriptedOutage(behaviour=DOWN, lasting_seconds=60, after_requests=1),))
    assert statuses(client, 2) == [200, 503]
    client.send("/_sandbox/reset")
    assert statuses(client, 2) == [200, 503]


def test_nobody_listens_for_a_while(start: Callable[..., Client]) -> None:
    client = start(outages=(ScriptedOutage(behaviour=None, lasting_seconds=0.3, after_requests=1),))
    assert client.ask(CHECK, NUMBER).status == 200
    began = time.monotonic()
    with pytest.raises((ConnectionResetError, ConnectionRefusedError)):
        client.ask(CHECK, NUMBER)
    refused = 0
    while True:
        try:
            assert client.ask(CHECK, NUMBER).status == 200
            break
        except ConnectionError as error:
            refused += isinstance(error, ConnectionRefusedError)
            assert time.monotonic() - began < 20
    assert refused > 0
    assert time.monotonic() - began >= 0.3


def test_a_sandbox_that_is_away_ends_all_the_same(start: Callable[..., Client]) -> None:
    client = start(outages=(ScriptedOutage(behaviour=None, lasting_seconds=3600),))
    with pytest.raises((ConnectionResetError, ConnectionRefusedError)):
        client.ask(CHECK, NUMBER)


def test_leaving_and_coming_back(start: Callable[..., Client]) -> None:
    client = start()
    client.ask(CHECK, NUMBER)
    client.sandbox.go_offline()
    client.sandbox.go_offline()  # gone is gone
    with pytest.raises(ConnectionRefusedError):
        client.ask(CHECK, NUMBER)
    assert client.sandbox.statistics()["requests"] == 1
    client.sandbox.go_online()
    client.sandbox.go_online()
    assert client.ask(CHECK, NUMBER).status == 200
    assert client.sandbox.statistics()["requests"] == 2


def test_settings_change_while_it_runs_and_counts_stay(start: Callable[..., Client]) -> None:
    client = start()
    change = client.sandbox.change
    seen = statuses(client, 1)
    change(profiles=("all-503",))
    seen += statuses(client, 1)
    change(profiles=(), rules=(FaultRule(Fault(Behaviour.INVALID), 1.0),))
    seen += statuses(client, 1)
    change(rules=(), keys=("another",))
    seen += statuses(client, 1)
    change(keys=("sandbox-key",), quota=4)
    seen += statuses(client, 2)
    change(
        quota=None, outages=(ScriptedOutage(behaviour=DOWN, lasting_seconds=60, after_requests=1),)
    )
    seen += statuses(client, 2)
    assert seen == [200, 503, 400, 401, 200, 429, 200, 503]
    assert client.sandbox.statistics()["requests"] == 8


def test_what_cannot_be_changed_is_refused_and_nothing_changes(
    start: Callable[..., Client],
) -> None:
    client = start()
    with pytest.raises(ConfigurationError, match="keeps its seed"):
        client.sandbox.change(seed=1, profiles=("all-503",))
    with pytest.raises(ConfigurationError, match="no sandbox profile"):
        client.sandbox.change(profiles=("nonsense",))
    assert statuses(client, 1) == [200]


def test_a_sandbox_that_has_ended_cannot_be_changed() -> None:
    with SandboxThread(SandboxConfig()) as sandbox:
        pass
    with pytest.raises(RuntimeError, match="outside its context"):
        sandbox.change(quota=1)
