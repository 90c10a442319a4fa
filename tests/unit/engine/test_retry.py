from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.api.answers import TRUNCATED
from batch_screen.api.client import CANNOT_CONNECT
from batch_screen.config.settings import Retry
from batch_screen.engine.retry import (
    Verdict,
    backoff_seconds,
    is_transient,
    judge,
    stop_if_account,
    stop_if_too_long,
)
from batch_screen.errors import AuthenticationError, QuotaError, Stopped
from batch_screen.model import Answer, OutcomeKind

K = OutcomeKind
RETRY = Retry(max_attempts=3, max_refusals=5)


def verdict(answer: Answer, failed: int = 1, refusals: int = 0) -> Verdict:
    return judge(answer, failed_attempts=failed, refusals=refusals, retry=RETRY)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(kind=K.SUCCESS, http_status=200), Verdict.FINAL),
        (Answer(kind=K.BAD_RESPONSE, reason="wrong_type", http_status=200), Verdict.FINAL),
        (Answer(kind=K.BAD_RESPONSE, reason="redirect", http_status=307), Verdict.FINAL),
        (Answer(kind=K.BAD_RESPONSE, reason=TRUNCATED), Verdict.RETRY),
        (Answer(kind=K.REJECTED, http_status=400), Verdict.FINAL),
        (Answer(kind=K.FORBIDDEN, http_status=403), Verdict.FINAL),
        (Answer(kind=K.NOT_FOUND, http_status=404), Verdict.FINAL),
        (Answer(kind=K.RATE_LIMITED, http_status=408), Verdict.REFUSED),
        (Answer(kind=K.RATE_LIMITED, http_status=429), Verdict.REFUSED),
        (Answer(kind=K.NOT_APPLICABLE, http_status=422), Verdict.FINAL),
        (Answer(kind=K.SERVER_ERROR, http_status=500), Verdict.RETRY),
        (Answer(kind=K.SERVER_ERROR, http_status=501), Verdict.FINAL),
        (Answer(kind=K.SERVER_ERROR, http_status=502), Verdict.RETRY),
        (Answer(kind=K.SERVER_ERROR, http_status=503), Verdict.RETRY),
        (Answer(kind=K.TIMEOUT), Verdict.RETRY),
        (Answer(kind=K.UNREACHABLE, reason="connection_lost"), Verdict.RETRY),
        (Answer(kind=K.UNREACHABLE, reason=CANNOT_CONNECT), Verdict.UNREACHABLE),
    ],
)
def test_every_row_of_the_policy_table(answer: Answer, expected: Verdict) -> None:
    assert verdict(answer) is expected


@pytest.mark.parametrize("status", [500, 502, 503, 504, None])
def test_failures_are_bounded_by_attempts_not_by_refusals(status: int | None) -> None:
    failure = Answer(kind=K.TIMEOUT if status is None else K.SERVER_ERROR, http_status=status)
    assert verdict(failure, failed=2, refusals=99) is Verdict.RETRY
    assert verdict(failure, failed=3) is Verdict.FINAL


def test_refusals_are_bounded_by_refusals_not_by_attempts() -> None:
    refusal = Answer(kind=K.RATE_LIMITED, http_status=429)
    assert verdict(refusal, failed=99, refusals=4) is Verdict.REFUSED
    assert verdict(refusal, failed=0, refusals=5) is Verdict.FINAL


def test_no_connection_is_never_final() -> None:
    assert verdict(Answer(kind=K.UNREACHABLE, reason=CANNOT_CONNECT), failed=99) is (
        Verdict.UNREACHABLE
    )


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (401, None, AuthenticationError),
        (401, "UNAUTHENTICATED", AuthenticationError),
        (402, None, QuotaError),
        (429, "QUOTA_EXCEEDED", QuotaError),
    ],
)
def test_what_concerns_the_account_stops_the_run(
    status: int, code: str | None, error: type[Exception]
) -> None:
    kind = K.RATE_LIMITED if status == 429 else K.FORBIDDEN
    with pytest.raises(error, match="start again") as caught:
        verdict(Answer(kind=kind, http_status=status, code=code))
    assert caught.value.exit_code == (77 if error is AuthenticationError else 4)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("status", "code"), [(200, None), (403, "QUOTA_EXCEEDED"), (429, "TOO_MANY_REQUESTS")]
)
def test_what_does_not_concern_the_account_does_not(status: int, code: str | None) -> None:
    stop_if_account(Answer(kind=K.REJECTED, http_status=status, code=code))


def test_an_endpoint_that_is_not_implemented_is_not_asked_again() -> None:
    assert not is_transient(Answer(kind=K.SERVER_ERROR, http_status=501))


def test_a_pause_beyond_the_cap_stops_and_says_which_setting() -> None:
    stop_if_too_long(Answer(kind=K.RATE_LIMITED), 900)
    stop_if_too_long(Answer(kind=K.RATE_LIMITED, retry_after_seconds=900), 900)
    with pytest.raises(Stopped, match=r"1000 s.*pacing\.max_retry_after_seconds.*resume"):
        stop_if_too_long(Answer(kind=K.RATE_LIMITED, retry_after_seconds=1000), 900)


@given(failed=st.integers(1, 20), jitter=st.floats(0, 1, exclude_max=True))
def test_backoff_lies_between_nothing_and_the_cap(failed: int, jitter: float) -> None:
    retry = Retry(base_delay_seconds=0.5, max_delay_seconds=30)
    delay = backoff_seconds(failed, retry, jitter)
    assert 0 <= delay <= min(30, 0.5 * 2 ** (failed - 1))


def test_backoff_doubles_up_to_the_cap() -> None:
    retry = Retry(base_delay_seconds=1, max_delay_seconds=5)
    assert [backoff_seconds(n, retry, 1) for n in (1, 2, 3, 4, 20)] == [1, 2, 4, 5, 5]
