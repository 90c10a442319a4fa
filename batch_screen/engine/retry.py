"""Retry policy: which answers are retried, which concern the account, and how long to wait."""

from __future__ import annotations

from batch_screen.api.answers import WORTH_ANOTHER_TRY
from batch_screen.config.settings import Retry
from batch_screen.errors import ApiError, AuthenticationError, QuotaError
from batch_screen.model import CANNOT_CONNECT, Answer, OutcomeKind

FAILURES = frozenset({OutcomeKind.SERVER_ERROR, OutcomeKind.TIMEOUT, OutcomeKind.UNREACHABLE})
"""Failed attempts: neither passed nor refused, and worth a retry."""

_FOR_GOOD = 501
_QUOTA_CODE = "QUOTA_EXCEEDED"
_SPREAD_SHARE = 0.05
_MOST_DOUBLINGS = 30

ACCOUNT = "account"
"""Reason of an attempt whose answer was about the account, not about the lookup."""

HELD = "held_back"
"""Reason of an attempt whose answer the canary still held back when the run ended early."""

NOT_COUNTED = frozenset({CANNOT_CONNECT, ACCOUNT, HELD})
"""Reasons of attempts that say nothing about their lookup: a resume starts it afresh."""


def is_transient(answer: Answer) -> bool:
    """Whether a retry may bring another answer."""
    if answer.http_status == _FOR_GOOD:
        return False
    return answer.kind in FAILURES or answer.reason in WORTH_ANOTHER_TRY


def account_error(answer: Answer) -> ApiError | None:
    """The error that a confirmed account-level answer raises; None for other answers."""
    if answer.http_status == 401:
        return AuthenticationError(
            "the API refused the key (401); check the key, then start again: nothing that "
            "was saved is asked twice"
        )
    out_of_quota = answer.http_status == 429 and answer.code == _QUOTA_CODE
    if answer.http_status == 402 or out_of_quota:
        return QuotaError(
            f"the account's quota or balance is used up ({answer.http_status}); top it up, then "
            "start again: nothing that was saved is asked twice"
        )
    return None


def wait_seconds(answer: Answer, tries: int, retry: Retry, jitter: float) -> float:
    """Seconds to wait after so many attempts: as the server asks, else backoff with full jitter.

    >>> asked = Answer(kind=OutcomeKind.RATE_LIMITED, retry_after_seconds=2)
    >>> wait_seconds(asked, 1, Retry(), 0.5)
    2.05
    """
    backoff = backoff_seconds(tries, retry, jitter)
    wait = answer.retry_after_seconds
    if not wait:
        return backoff
    spread = wait * (1 + _SPREAD_SHARE * jitter)  # they were refused together
    return spread if answer.kind is OutcomeKind.RATE_LIMITED else max(spread, backoff)


def backoff_seconds(tries: int, retry: Retry, jitter: float) -> float:
    """Exponential backoff with full jitter: uniform between 0 and the doubled, capped delay.

    >>> backoff_seconds(3, Retry(base_delay_seconds=1), 0.5)
    2.0
    """
    doubled: float = retry.base_delay_seconds * 2 ** min(tries - 1, _MOST_DOUBLINGS)
    return min(retry.max_delay_seconds, doubled) * jitter
