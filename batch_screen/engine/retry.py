"""What an answer means for its lookup: the policy table as code.

| answer | verdict |
|---|---|
| 401 | the run stops: a dead key |
| 402, 429 with QUOTA_EXCEEDED | the run stops: an empty account |
| 408, 429 | refused: back to the front, not a failed attempt |
| no connection | unreachable: back to the front while the breaker probes |
| 5xx but 501, timeout, lost connection, truncated body | retry, bounded |
| everything else | final |
"""

from __future__ import annotations

from enum import StrEnum

from batch_screen.api.answers import TRUNCATED
from batch_screen.config.settings import Retry
from batch_screen.errors import AuthenticationError, QuotaError, Stopped
from batch_screen.model import CANNOT_CONNECT, Answer, OutcomeKind

_TRANSIENT = frozenset({OutcomeKind.SERVER_ERROR, OutcomeKind.TIMEOUT, OutcomeKind.UNREACHABLE})
_FOR_GOOD = 501
_QUOTA_CODE = "QUOTA_EXCEEDED"

ACCOUNT = "account"
"""Reason of an attempt whose answer was about the account, not about the lookup."""

HELD = "held_back"
"""Reason of an attempt whose answer the canary still held back when the run ended early."""

NOT_COUNTED = frozenset({CANNOT_CONNECT, ACCOUNT, HELD})
"""Reasons of attempts that say nothing about their lookup: a resume starts it afresh."""


class Verdict(StrEnum):
    """What becomes of a lookup after an attempt."""

    FINAL = "final"
    RETRY = "retry"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


def judge(answer: Answer, *, failed_attempts: int, refusals: int, retry: Retry) -> Verdict:
    """The verdict on an answer after so many failed attempts and refusals, it included.

    Raises ``AuthenticationError`` and ``QuotaError`` where the account is concerned.
    """
    stop_if_account(answer)
    if answer.reason == CANNOT_CONNECT:
        return Verdict.UNREACHABLE
    if answer.kind is OutcomeKind.RATE_LIMITED:
        return Verdict.REFUSED if refusals < retry.max_refusals else Verdict.FINAL
    if is_transient(answer) and failed_attempts < retry.max_attempts:
        return Verdict.RETRY
    return Verdict.FINAL


def is_transient(answer: Answer) -> bool:
    """Whether asking again may bring another answer."""
    if answer.http_status == _FOR_GOOD:
        return False
    return answer.kind in _TRANSIENT or answer.reason == TRUNCATED


def stop_if_account(answer: Answer) -> None:
    """Raises if the answer says that no further request can succeed."""
    if answer.http_status == 401:
        raise AuthenticationError(
            "the API refused the key (401); check the key, then start again: nothing that "
            "was saved is asked twice"
        )
    out_of_quota = answer.http_status == 429 and answer.code == _QUOTA_CODE
    if answer.http_status == 402 or out_of_quota:
        raise QuotaError(
            f"the account's quota or balance is used up ({answer.http_status}); top it up, then "
            "start again: nothing that was saved is asked twice"
        )


def stop_if_too_long(answer: Answer, max_retry_after_seconds: float) -> None:
    """Raises ``Stopped`` if the server asks for a longer pause than the settings accept."""
    wait = answer.retry_after_seconds
    if wait is not None and wait > max_retry_after_seconds:
        raise Stopped(
            f"the API asks to wait {wait:.0f} s, more than pacing.max_retry_after_seconds "
            f"({max_retry_after_seconds:.0f}); start again later to resume"
        )


def backoff_seconds(failed_attempts: int, retry: Retry, jitter: float) -> float:
    """Full jitter: anywhere between nothing and the doubled, capped delay.

    >>> backoff_seconds(3, Retry(base_delay_seconds=1), 0.5)
    2.0
    """
    doubled: float = retry.base_delay_seconds * 2 ** (failed_attempts - 1)
    return min(retry.max_delay_seconds, doubled) * jitter
