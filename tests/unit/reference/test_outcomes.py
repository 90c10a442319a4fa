from __future__ import annotations

import pytest

from batch_screen.model import OutcomeKind
from batch_screen.numbers.rules import MEANING, REMEDY
from batch_screen.profile.damage import MEANING as DAMAGE
from docs.generate.outcomes import answers, fate, outcomes_page

TOO_LONG = "408, 429 with a Retry-After above `pacing.max_retry_after_seconds`"


def test_every_outcome_rule_reason_and_damage_has_a_line() -> None:
    lines = outcomes_page().splitlines()
    for kind in OutcomeKind:
        assert any(line.startswith(f"| `{kind}` |") for line in lines), kind
    for name, text in [*MEANING.items(), *REMEDY.items(), *DAMAGE.items()]:
        assert f"| `{name}` | {text} |" in lines


@pytest.mark.parametrize(
    ("answer", "outcome", "words"),
    [
        ("200 as documented", "`success`", "final"),
        ("200, cut off", "`bad_response`", "retry.max_attempts"),
        ("401", "`forbidden`", "the run stops, to be resumed; exit code 77"),
        ("401", "`forbidden`", "once an answer for another number bears it out"),
        ("402", "`forbidden`", "exit code 4"),
        ("429", "`rate_limited`", "retry.max_refusals"),
        ("429 with the code QUOTA_EXCEEDED", "`rate_limited`", "exit code 4"),
        (TOO_LONG, "`rate_limited`", "`retry_after_too_long`, if others are let pass; else"),
        (TOO_LONG, "`rate_limited`", "the run stops, to be resumed; exit code 4"),
        (
            "any other 5xx with such a Retry-After",
            "`server_error`",
            "its endpoint alone is given up",
        ),
        ("501", "`server_error`", "final"),
        ("no connection could be made", "`unreachable`", "can be reached"),
    ],
)
def test_what_becomes_of_an_answer(answer: str, outcome: str, words: str) -> None:
    found, said = fate(dict(answers())[answer])
    assert found == outcome
    assert words in said


def test_no_outcome_but_skipped_is_unheard_of() -> None:
    named = {answer.kind for _, answer in answers()}
    assert set(OutcomeKind) - named == {OutcomeKind.SKIPPED}
