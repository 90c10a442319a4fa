from __future__ import annotations

from typing import Any

import pytest

from batch_screen.config.screening import Screening
from batch_screen.config.sections import Api
from batch_screen.config.settings import Settings
from batch_screen.diagnostics.canary import _finding, canary_findings
from batch_screen.diagnostics.findings import Health
from batch_screen.model import Answer, Endpoint, OutcomeKind
from batch_screen.sandbox.answers import Population
from batch_screen.sandbox.config import SandboxConfig
from batch_screen.sandbox.run import SandboxThread

NUMBER = "+491713920012"
KEY = "s3cret-api-key"


def asked(**config: Any) -> tuple[list[str], list[int], int]:
    """The healths and codes of all endpoints, and how many lookups the server answered."""
    population = Population(not_found_share=config.pop("not_found_share", 0.0))
    with SandboxThread(SandboxConfig(keys=(KEY,), population=population, **config)) as server:
        api = Api(base_url=server.url)
        settings = Settings(api=api, screening=Screening(endpoints="all"))
        found = canary_findings(settings, config.get("key", KEY), NUMBER)
        count = server.statistics()["requests"]
    assert NUMBER not in repr(found)
    assert KEY not in repr(found)
    return [each.health.value for each in found], [each.exit_code for each in found], count


def test_each_endpoint_is_asked_once() -> None:
    assert asked() == (["ok"] * 5, [0] * 5, 5)
    assert asked(not_found_share=1.0)[0] == ["warning"] * 5
    assert asked(quota=2)[1] == [0, 0, 4, 4, 4]
    assert asked(revoke_keys_after=0)[1] == [77] * 5


@pytest.mark.parametrize(
    ("kind", "status", "code", "health", "exit_code"),
    [
        (OutcomeKind.FORBIDDEN, 403, "PERMISSION_DENIED", Health.FAILED, 77),
        (OutcomeKind.FORBIDDEN, 402, None, Health.FAILED, 4),
        (OutcomeKind.RATE_LIMITED, 429, "QUOTA_EXCEEDED", Health.FAILED, 4),
        (OutcomeKind.RATE_LIMITED, 429, None, Health.WARNING, 0),
        (OutcomeKind.NOT_APPLICABLE, 422, None, Health.WARNING, 0),
        (OutcomeKind.REJECTED, 400, None, Health.FAILED, 69),
        (OutcomeKind.BAD_RESPONSE, 200, None, Health.FAILED, 69),
        (OutcomeKind.SERVER_ERROR, 503, None, Health.FAILED, 69),
        (OutcomeKind.TIMEOUT, None, None, Health.FAILED, 69),
        (OutcomeKind.UNREACHABLE, None, None, Health.FAILED, 69),
    ],
)
def test_other_answers(
    kind: OutcomeKind, status: int | None, code: str | None, health: Health, exit_code: int
) -> None:
    answer = Answer(kind=kind, http_status=status, code=code, reason="why")
    found = _finding(Endpoint.SIM_SWAP_CHECK, answer, 0.01)
    assert (found.health, found.exit_code) == (health, exit_code)
    assert found.remedy


def test_nobody_is_there() -> None:
    api = Api(base_url="http://127.0.0.1:9/v1", connect_timeout_seconds=1, timeout_seconds=1)
    [found] = canary_findings(Settings(api=api), KEY, NUMBER)
    assert (found.health, found.exit_code) == (Health.FAILED, 69)
