from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest
from aioresponses import aioresponses
from hypothesis import HealthCheck, settings

from batch_screen.masking.keys import forget_keys

# A busy machine is no bug: examples have no deadline. In CI the examples are the same each
# time, so that what fails there fails again.
settings.register_profile(
    "project",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("project")


@pytest.fixture(autouse=True)
def _forget_keys() -> Iterator[None]:
    """A key that one test reads must not change what another one says."""
    yield
    forget_keys()


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
    """Answers instead of a network, for simple cases: no timeout or limit works under it."""
    monkeypatch.setattr("aioresponses.core.ClientResponse", _Response)
    with aioresponses() as answers:
        yield answers
