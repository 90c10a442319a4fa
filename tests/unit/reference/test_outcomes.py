from __future__ import annotations

import pytest

from batch_screen.model import OutcomeKind
from batch_screen.numbers.rules import MEANING, REMEDY
from batch_screen.survey.damage import MEANING as DAMAGE
from reference.outcomes import answers, fate, outcomes_page


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
        ("401", "", "the run stops, to be resumed; exit code 77"),
        ("429", "`rate_limited`", "retry.max_refusals"),
        ("429 with the code QUOTA_EXCEEDED", "", "exit code 4"),
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
