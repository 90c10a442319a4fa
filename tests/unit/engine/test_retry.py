from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.settings import Retry
from batch_screen.engine.retry import account_error, backoff_seconds, is_transient, wait_seconds
from batch_screen.model import Answer, OutcomeKind

K = OutcomeKind


@pytest.mark.parametrize(
    ("status", "code"), [(200, None), (403, "QUOTA_EXCEEDED"), (429, "TOO_MANY_REQUESTS")]
)
def test_what_does_not_concern_the_account_does_not(status: int, code: str | None) -> None:
    assert account_error(Answer(kind=K.REJECTED, http_status=status, code=code)) is None


def test_an_endpoint_that_is_not_implemented_is_not_asked_again() -> None:
    assert not is_transient(Answer(kind=K.SERVER_ERROR, http_status=501))


@given(
    kind=st.sampled_from([K.RATE_LIMITED, K.SERVER_ERROR]),
    asked=st.floats(0.001, 1e4),
    tries=st.integers(1, 1000),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_nobody_comes_before_its_own_retry_after(
    kind: OutcomeKind, asked: float, tries: int, jitter: float
) -> None:
    answer = Answer(kind=kind, retry_after_seconds=asked)
    wait = wait_seconds(answer, tries, Retry(), jitter)
    assert wait >= asked
    if kind is K.RATE_LIMITED:
        assert wait <= 1.05 * asked
    else:  # it failed, so it backs off as well
        backoff = backoff_seconds(tries, Retry(), jitter)
        assert wait == max(asked * (1 + 0.05 * jitter), backoff)


@pytest.mark.parametrize("asked", [None, 0.0])
def test_who_is_not_asked_to_wait_backs_off(asked: float | None) -> None:
    answer = Answer(kind=K.RATE_LIMITED, retry_after_seconds=asked)
    assert wait_seconds(answer, 3, Retry(base_delay_seconds=1), 0.5) == 2


@given(failed=st.integers(1, 10_000), jitter=st.floats(0, 1, exclude_max=True))
def test_backoff_lies_between_nothing_and_the_cap(failed: int, jitter: float) -> None:
    retry = Retry(base_delay_seconds=0.5, max_delay_seconds=30)
    delay = backoff_seconds(failed, retry, jitter)
    assert 0 <= delay <= min(30, 0.5 * 2 ** min(failed - 1, 30))


def test_backoff_doubles_up_to_the_cap() -> None:
    retry = Retry(base_delay_seconds=1, max_delay_seconds=5)
    assert [backoff_seconds(n, retry, 1) for n in (1, 2, 3, 4, 20)] == [1, 2, 4, 5, 5]
