from __future__ import annotations

import pytest
from msgspec import structs

from batch_screen.api.answers import TRUNCATED, WORTH_ANOTHER_TRY
from batch_screen.config.settings import Retry
from batch_screen.engine.retry import account_error
from batch_screen.engine.verdicts import Verdict, judge
from batch_screen.errors import ApiError, AuthenticationError, QuotaError
from batch_screen.model import CANNOT_CONNECT, Answer, OutcomeKind

K = OutcomeKind
RETRY = Retry(max_attempts=3, max_refusals=5)


def verdict(answer: Answer, failed: int = 1, refusals: float = 0) -> Verdict:
    return judge(
        answer,
        failed_attempts=failed,
        own_refusals=refusals,
        retry=RETRY,
        longest_wait_seconds=900,
    )


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(kind=K.SUCCESS, http_status=200), Verdict.FINAL),
        (Answer(kind=K.BAD_RESPONSE, reason="wrong_type", http_status=200), Verdict.FINAL),
        (Answer(kind=K.BAD_RESPONSE, reason="redirect", http_status=307), Verdict.FINAL),
        (Answer(kind=K.BAD_RESPONSE, reason=TRUNCATED), Verdict.RETRY),
        (Answer(kind=K.FORBIDDEN, http_status=401), Verdict.ACCUSED),
        (Answer(kind=K.REJECTED, http_status=402), Verdict.ACCUSED),
        (Answer(kind=K.REJECTED, http_status=400), Verdict.FINAL),
        (Answer(kind=K.FORBIDDEN, http_status=403), Verdict.FINAL),
        (Answer(kind=K.NOT_FOUND, http_status=404), Verdict.FINAL),
        (Answer(kind=K.RATE_LIMITED, http_status=408), Verdict.REFUSED),
        (Answer(kind=K.RATE_LIMITED, http_status=429), Verdict.REFUSED),
        (
            Answer(kind=K.RATE_LIMITED, http_status=429, code="QUOTA_EXCEEDED"),
            Verdict.ACCUSED,
        ),
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
def test_what_concerns_the_account_accuses_it_and_says_what_would_stop_the_run(
    status: int, code: str | None, error: type[ApiError]
) -> None:
    kind = K.RATE_LIMITED if status == 429 else K.FORBIDDEN
    answer = Answer(kind=kind, http_status=status, code=code, retry_after_seconds=1e6)
    assert verdict(answer, failed=99, refusals=99) is Verdict.ACCUSED
    found = account_error(answer)
    assert isinstance(found, error)
    assert "start again" in str(found)
    assert found.exit_code == (77 if error is AuthenticationError else 4)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(kind=K.RATE_LIMITED, http_status=429), Verdict.REFUSED),
        (Answer(kind=K.SERVER_ERROR, http_status=503), Verdict.RETRY),
    ],
)
def test_who_is_to_wait_for_too_long_is_put_off(answer: Answer, expected: Verdict) -> None:
    def waits(seconds: float) -> Answer:
        return structs.replace(answer, retry_after_seconds=seconds)

    assert verdict(waits(0)) is verdict(waits(900)) is expected
    assert verdict(waits(901)) is Verdict.PUT_OFF
    assert verdict(waits(901), failed=99, refusals=99) is Verdict.PUT_OFF


@pytest.mark.parametrize(
    "answer",
    [
        Answer(kind=K.SUCCESS, http_status=200, retry_after_seconds=1e6),
        Answer(kind=K.NOT_FOUND, http_status=404, retry_after_seconds=1e6),
        Answer(kind=K.SERVER_ERROR, http_status=501, retry_after_seconds=1e6),
    ],
)
def test_what_is_final_waits_for_nothing(answer: Answer) -> None:
    assert verdict(answer) is Verdict.FINAL


@pytest.mark.parametrize("reason", sorted(WORTH_ANOTHER_TRY))
def test_what_was_mangled_on_its_way_is_asked_again(reason: str) -> None:
    mangled = Answer(kind=K.BAD_RESPONSE, reason=reason, http_status=200)
    assert verdict(mangled, failed=2) is Verdict.RETRY
    assert verdict(mangled, failed=3) is Verdict.FINAL
