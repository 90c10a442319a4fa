from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batch_screen.model import Endpoint
from batch_screen.sandbox.config import SandboxConfig
from batch_screen.sandbox.contract import Question
from batch_screen.sandbox.gate import Gate
from batch_screen.sandbox.statistics import Statistics
from batch_screen.sandbox.window import SlidingSecond

from .conftest import Client

CHECK = Endpoint.SIM_SWAP_CHECK
DATE = Endpoint.SIM_SWAP_DATE
FINE = "+46701740699"
ONCE_500 = "+46701740650"
PAGE = "/_sandbox/statistics"


def snapshot(statistics: Statistics, *, detail: bool = False) -> dict[str, Any]:
    return statistics.snapshot(Gate(SandboxConfig()), detail=detail)


def read_log(sandbox: Client, path: Path) -> list[dict[str, Any]]:
    # A line follows its answer by microseconds; statistics are taken after it.
    sandbox.sandbox.statistics()
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_counts_by_endpoint_and_status(start: Callable[..., Client]) -> None:
    sandbox = start(rate_limit_per_second=4)
    for endpoint, number in [(CHECK, FINE), (CHECK, ONCE_500), (DATE, FINE), (CHECK, "bad")]:
        sandbox.ask(endpoint, number)
    sandbox.ask(CHECK, FINE)
    sandbox.ask(CHECK, FINE, key="wrong")
    sandbox.send("/elsewhere")
    seen = sandbox.send(PAGE, method="GET").json()
    assert seen == sandbox.sandbox.statistics()
    assert seen["requests"] == seen["worst_second"] == 7
    assert seen["by_endpoint"] == {"sim-swap/check": 5, "sim-swap/retrieve-date": 1, "unknown": 1}
    assert seen["by_status"] == {"200": 2, "500": 1, "400": 1, "429": 1, "401": 1, "404": 1}
    assert (seen["rate_refusals"], seen["quota_used"]) == (1, 4)
    assert (seen["distinct_lookups"], seen["clean_answers"], seen["repeats"]) == (3, 2, 0)
    assert seen["open_requests"] == 0


def test_repeats_tell_a_retry_from_a_second_purchase(start: Callable[..., Client]) -> None:
    sandbox = start()
    for number in (ONCE_500, ONCE_500, FINE, FINE, FINE):
        sandbox.ask(CHECK, number, 240)
    seen = sandbox.send(PAGE + "?detail=1", method="GET").json()
    assert (seen["repeats"], seen["answered_twice"]) == (2, 1)
    assert sorted(seen["repeated"], key=lambda lookup: lookup["number"]) == [
        {"number": ONCE_500, "endpoint": "sim-swap/check", "asked": 2, "clean_answers": 1},
        {"number": FINE, "endpoint": "sim-swap/check", "asked": 3, "clean_answers": 3},
    ]
    assert "repeated" not in sandbox.send(PAGE, method="GET").json()


def test_reset_forgets_everything(start: Callable[..., Client]) -> None:
    sandbox = start(quota=1)
    assert [sandbox.ask(CHECK, ONCE_500).status for _ in range(2)] == [500, 429]
    assert sandbox.send("/_sandbox/reset").status == 200
    assert sandbox.sandbox.statistics()["requests"] == 0
    assert sandbox.ask(CHECK, ONCE_500).status == 500


def test_the_sandboxs_own_pages_want_their_method(start: Callable[..., Client]) -> None:
    sandbox = start()
    assert sandbox.send(PAGE).status == 404
    assert sandbox.send("/_sandbox/reset", method="GET").status == 404
    assert sandbox.sandbox.statistics()["requests"] == 0


@given(st.lists(st.floats(0, 0.6), max_size=80))
def test_the_worst_second_is_the_fullest_window(gaps: list[float]) -> None:
    arrivals = [sum(gaps[: i + 1]) for i in range(len(gaps))]
    statistics = Statistics()
    for at in arrivals:
        statistics.arrive(at, CHECK)
    fullest = max(
        (sum(end - at < 1 for at in arrivals[: i + 1]) for i, end in enumerate(arrivals)), default=0
    )
    assert snapshot(statistics)["worst_second"] == fullest


def test_an_event_a_full_second_old_no_longer_counts() -> None:
    window = SlidingSecond()
    assert [window.add(at) for at in (0.0, 0.5, 1.0, 1.25)] == [1, 2, 2, 3]
    assert window.count(2.0) == 1


def test_open_requests_rise_and_fall() -> None:
    statistics = Statistics()
    for at in (0.0, 0.1, 0.2):
        statistics.arrive(at, CHECK)
    statistics.depart(200)
    statistics.arrive(0.3, CHECK)
    statistics.depart(None)
    seen = snapshot(statistics)
    assert (seen["most_open_requests"], seen["open_requests"]) == (3, 2)
    assert seen["by_status"] == {"200": 1, "none": 1}


@given(st.integers(1_000_000, 10**15 - 1), st.sampled_from(Endpoint))
def test_lookups_keep_their_number_and_endpoint(digits: int, endpoint: Endpoint) -> None:
    statistics = Statistics()
    assert [statistics.ask(Question(f"+{digits}", endpoint)) for _ in range(2)] == [1, 2]
    (lookup,) = snapshot(statistics, detail=True)["repeated"]
    assert (lookup["number"], lookup["endpoint"]) == (f"+{digits}", endpoint.value)


def test_the_request_log_tells_every_request(start: Callable[..., Client], tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    sandbox = start(journal_path=path, quota=3)
    sandbox.ask(CHECK, FINE, 240, headers={"x-correlator": "c1"})
    sandbox.ask(CHECK, ONCE_500, headers={"x-correlator": "c2"})
    sandbox.ask(DATE, "bad")
    sandbox.ask(DATE, FINE)
    lines = read_log(sandbox, path)
    instants = [instant for line in lines for instant in (line.pop("at"), line.pop("ended_at"))]
    assert instants == sorted(instants)  # one after another
    assert [tuple(line.values()) for line in lines] == [
        (FINE, "sim-swap/check", 240, 200, "c1", True, True),
        (ONCE_500, "sim-swap/check", None, 500, "c2", True, False),
        (None, "sim-swap/retrieve-date", None, 400, None, True, False),
        (FINE, "sim-swap/retrieve-date", None, 429, None, True, False),
    ]
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_request_log_marks_answers_that_were_not_sent(
    start: Callable[..., Client], tmp_path: Path
) -> None:
    path = tmp_path / "requests.jsonl"
    sandbox = start(journal_path=path)
    for ending in ("13", "15"):  # reset, truncated
        try:
            sandbox.ask(CHECK, f"+467017406{ending}")
        except Exception:  # noqa: BLE001 (which one is test_faults' business)
            continue
    lines = read_log(sandbox, path)
    assert [(line["status"], line["was_sent"]) for line in lines] == [(None, False), (200, False)]
