"""The script with a checkpoint does what its docstring says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest
from aioresponses import aioresponses

from benchmarks.peers.clients import script

URL = "http://api.example"
SIM, DEVICE = (f"{URL}/{endpoint}" for endpoint in script.ENDPOINTS)


class _Response(aiohttp.ClientResponse):
    """A response as aioresponses 0.7.9 makes them: it does not know ``stream_writer`` yet.

    aiohttp 3.14 wants it. This class and its use below can go when aioresponses makes
    responses with aiohttp 3.14 by itself (github.com/pnuckowski/aioresponses).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", Mock())
        super().__init__(*args, **kwargs)


@pytest.fixture
def mocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[aioresponses]:
    """Answers instead of a network."""
    monkeypatch.setattr("aioresponses.core.ClientResponse", _Response)
    monkeypatch.setattr(script.random, "uniform", lambda low, high: 0.0)  # type: ignore[attr-defined]
    with aioresponses() as answers:
        yield answers


def screened(folder: Path) -> list[tuple[str, bool | None]]:
    source, target = folder / "customers.csv", folder / "answers.jsonl"
    source.write_text("customer_id,phone\nC0,+447700900000\n", encoding="utf-8")
    asyncio.run(script.main(source, URL, 1000, target))
    lines = [json.loads(line) for line in target.read_text("utf-8").splitlines()]
    return sorted((line["endpoint"], line["swapped"]) for line in lines)


def test_every_lookup_has_its_answer(tmp_path: Path, mocked: aioresponses) -> None:
    mocked.post(SIM, payload={"swapped": True})
    mocked.post(DEVICE, payload={"swapped": False})
    assert screened(tmp_path) == [("device-swap/check", False), ("sim-swap/check", True)]


def test_what_is_answered_is_not_asked_again(tmp_path: Path, mocked: aioresponses) -> None:
    mocked.post(SIM, payload={"swapped": True})
    mocked.post(DEVICE, payload={"swapped": False})
    assert screened(tmp_path) == screened(tmp_path)
    assert [len(calls) for calls in mocked.requests.values()] == [1, 1]


def test_what_was_given_up_is_asked_again(tmp_path: Path, mocked: aioresponses) -> None:
    for _ in range(script.MAX_ATTEMPTS):
        mocked.post(SIM, status=503)
    mocked.post(DEVICE, payload={"swapped": False}, repeat=True)
    mocked.post(SIM, payload={"swapped": True})
    given_up: list[tuple[str, bool | None]]
    given_up = [("device-swap/check", False), ("sim-swap/check", None)]
    assert screened(tmp_path) == given_up
    source, target = tmp_path / "customers.csv", tmp_path / "answers.jsonl"
    asyncio.run(script.main(source, URL, 1000, target))
    last = json.loads(target.read_text("utf-8").splitlines()[-1])
    assert (last["endpoint"], last["swapped"]) == ("sim-swap/check", True)


def test_retry_after_is_waited_for(
    tmp_path: Path, mocked: aioresponses, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    sleep = asyncio.sleep

    async def slept(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    monkeypatch.setattr(script.asyncio, "sleep", slept)  # type: ignore[attr-defined]
    mocked.post(SIM, status=429, headers={"Retry-After": "7"})
    mocked.post(SIM, payload={"swapped": False})
    mocked.post(DEVICE, payload={"swapped": False})
    assert len(screened(tmp_path)) == 2
    assert 7.0 in waits
