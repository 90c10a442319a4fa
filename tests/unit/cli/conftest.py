from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from batch_screen.cli import log
from batch_screen.model import Session
from batch_screen.tables.summary import LookupFigures, Rows, Summary

BEGAN = datetime(2026, 11, 23, 4, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _text_again() -> Iterator[None]:
    """Whatever form of lines a test has chosen, the next one begins with text."""
    yield
    log.choose_early([], {})


@pytest.fixture
def lookups() -> Callable[..., LookupFigures]:
    def make(**changes: Any) -> LookupFigures:
        by_outcome = changes.pop("by_outcome", {"success": 1_000})
        total = sum(by_outcome.values())
        plain = LookupFigures(
            total=total,
            by_outcome=by_outcome,
            positives=7,
            attempts=total,
            refusals=0,
            unanswered=0,
            latency_ms={"p50": 40.0, "p95": 90.5},
            cost=0.0,
        )
        return msgspec.structs.replace(plain, **changes)

    return make


@pytest.fixture
def summary(lookups: Callable[..., LookupFigures]) -> Callable[..., Summary]:
    """A run of 1,000 numbers at one endpoint where all went well, but for the changes."""

    def make(**changes: Any) -> Summary:
        plain = Summary(
            run_id="20261123-0123456789",
            run_date="2026-11-23",
            version="0.1.0",
            status="complete",
            rows=Rows(1_250, 1_200, 50, {"empty": 50}, 200, 1_000),
            endpoints={"sim-swap/check": lookups()},
            cost=0.0,
            currency="EUR",
            session=Session(BEGAN, BEGAN + timedelta(seconds=100), 1_000, 100.0),
            settings={},
            facts={},
        )
        return msgspec.structs.replace(plain, **changes)

    return make
