from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from batch_screen.model import Endpoint
from batch_screen.sandbox.config import DEFAULT_KEY, SandboxConfig
from batch_screen.sandbox.profiles import FaultChoice
from batch_screen.sandbox.run import SandboxThread

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PATHS = {endpoint: f"/{endpoint.value}" for endpoint in Endpoint}


def choice_of(config: SandboxConfig) -> FaultChoice:
    return FaultChoice(config.seed, config.all_rules())


@dataclass
class Seen:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Sends exactly what it is given, one connection per request, and follows nothing."""

    def __init__(self, sandbox: SandboxThread) -> None:
        self.sandbox = sandbox

    def send(
        self,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        method: str = "POST",
        timeout: float = 5,
    ) -> Seen:
        parts = urlsplit(self.sandbox.origin)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            with connection.getresponse() as answer:
                return Seen(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def ask(
        self,
        endpoint: Endpoint,
        number: object,
        max_age: object = ...,
        *,
        key: str | None = DEFAULT_KEY,
        headers: dict[str, str] | None = None,
        path: str | None = None,
        timeout: float = 5,
    ) -> Seen:
        body = {"phoneNumber": number} | ({} if max_age is ... else {"maxAge": max_age})
        all_headers = {"Content-Type": "application/json", **(headers or {})}
        if key is not None:
            all_headers["apiKey"] = key
        path = "/network-signal/v1" + (path or PATHS[endpoint])
        return self.send(path, json.dumps(body).encode(), all_headers, timeout=timeout)


@pytest.fixture
def start() -> Iterator[Callable[..., Client]]:
    """Starts sandboxes with the given settings and ends them with the test."""
    with ExitStack() as stack:

        def begin(**settings: Any) -> Client:
            config = SandboxConfig(**{"now": NOW, **settings})
            return Client(stack.enter_context(SandboxThread(config)))

        yield begin


@pytest.fixture(scope="module")
def plain() -> Iterator[Client]:
    """One sandbox with the defaults, for questions that leave no trace."""
    with SandboxThread(SandboxConfig(now=NOW, slow_seconds=0.01)) as sandbox:
        yield Client(sandbox)
