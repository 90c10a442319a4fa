from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest
from aioresponses import aioresponses


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
