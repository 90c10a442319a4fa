"""The script that batch-screen is measured against does what such scripts do."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest
from aioresponses import aioresponses

from benchmarks.pacing.clients import script

URL = "http://api.example/sim-swap/check"


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


def screened(folder: Path, numbers: int) -> list[dict[str, str]]:
    source, target = folder / "customers.csv", folder / "answers.csv"
    rows = "".join(f"C{n},+44770090000{n}\n" for n in range(numbers))
    source.write_text("customer_id,phone\n" + rows, encoding="utf-8")
    asyncio.run(script.main(str(source), URL, 1000, str(target)))
    with target.open(encoding="utf-8", newline="") as file:
        return sorted(csv.DictReader(file), key=lambda row: row["customer_id"])


def test_every_row_has_its_answer(tmp_path: Path, mocked: aioresponses) -> None:
    mocked.post(URL, payload={"swapped": True}, repeat=True)
    rows = screened(tmp_path, 3)
    assert [(r["customer_id"], r["swapped"], r["error"]) for r in rows] == [
        (f"C{n}", "True", "") for n in range(3)
    ]


def test_a_refusal_is_tried_again(tmp_path: Path, mocked: aioresponses) -> None:
    mocked.post(URL, status=429)
    mocked.post(URL, exception=aiohttp.ServerDisconnectedError())
    mocked.post(URL, payload={"swapped": False})
    (row,) = screened(tmp_path, 1)
    assert (row["swapped"], row["error"]) == ("False", "")


def test_a_row_is_given_up_in_the_end(tmp_path: Path, mocked: aioresponses) -> None:
    mocked.post(URL, status=503, repeat=True)
    (row,) = screened(tmp_path, 1)
    assert row["swapped"] == ""
    assert "503" in row["error"]
    (calls,) = mocked.requests.values()
    assert len(calls) == script.MAX_ATTEMPTS
