"""The doctor's canary: one request to each endpoint, which may be billed."""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

from batch_screen.api.client import Client
from batch_screen.config.settings import Settings
from batch_screen.diagnostics.findings import Finding, failed, of_error, passed, warning
from batch_screen.errors import ApiError, AuthenticationError, BatchScreenError, QuotaError
from batch_screen.model import Answer, Endpoint, Lookup, OutcomeKind

_KEY = "the key is refused: check it, or ask for another"
_ENTITLEMENT = "the account may not ask this endpoint: ask for the right, or leave it out"
_UNKNOWN = "try a number that the API knows; if all are unknown, check api.dialect"
_PASSING = {
    OutcomeKind.NOT_FOUND: _UNKNOWN,
    OutcomeKind.NOT_APPLICABLE: _UNKNOWN,
    OutcomeKind.RATE_LIMITED: "another run may use the rate up: try again later",
}
_REMEDIES = {
    OutcomeKind.REJECTED: "check that the number is one in E.164; if all are, check api.dialect",
    OutcomeKind.BAD_RESPONSE: "check api.base_url and api.dialect: is this the API's address?",
    OutcomeKind.SERVER_ERROR: "try again later; if it stays, ask the API's operator",
    OutcomeKind.TIMEOUT: "try again later, or raise api.timeout_seconds",
    OutcomeKind.UNREACHABLE: "see the findings above",
}


def canary_findings(settings: Settings, key: str, number: str) -> list[Finding]:
    """A finding for each endpoint, asked about the number (E.164) one after the other."""
    window = settings.screening.max_age_minutes
    found = []

    async def ask() -> None:
        async with Client(settings.api, key, max_connections=1) as client:
            for endpoint in settings.screening.endpoints:
                lookup = Lookup(number, endpoint, window if endpoint.takes_max_age else None)
                began = time.monotonic()
                answer = await client.ask(lookup, str(uuid4()))
                found.append(_finding(endpoint, answer, time.monotonic() - began))

    try:
        asyncio.run(ask())
    except BatchScreenError as error:
        found.append(of_error("canary", error))
    return found


def _finding(endpoint: Endpoint, answer: Answer, seconds: float) -> Finding:
    name = f"canary {endpoint}"
    status = f", status {answer.http_status}" if answer.http_status else ""
    reason = f" ({answer.reason})" if answer.reason else ""
    seen = f"{answer.kind}{reason}{status}, {1000 * seconds:,.0f} ms"
    if answer.kind is OutcomeKind.SUCCESS:
        return passed(name, seen)
    # Before the kinds: an empty account answers with forbidden or rate_limited.
    if answer.http_status == 402 or answer.code == "QUOTA_EXCEEDED":
        return failed(name, seen, "the account is empty: top it up", QuotaError.default_exit_code)
    if answer.kind is OutcomeKind.FORBIDDEN:
        remedy = _KEY if answer.http_status == 401 else _ENTITLEMENT
        return failed(name, seen, remedy, AuthenticationError.default_exit_code)
    if answer.kind in _PASSING:
        return warning(name, seen, _PASSING[answer.kind])
    return failed(name, seen, _REMEDIES[answer.kind], ApiError.default_exit_code)
