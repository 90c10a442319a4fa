from __future__ import annotations

import re

from batch_screen.numbers.rules import MEANING, REMEDY, Modifier, RejectReason, Rule


def test_every_reason_has_a_remedy_of_one_sentence() -> None:
    assert set(REMEDY) == set(RejectReason)
    assert all(re.fullmatch(r"[A-Z].+\.", remedy) for remedy in REMEDY.values())


def test_every_rule_and_modifier_has_a_meaning_of_one_sentence() -> None:
    assert set(MEANING) == {*Rule, *Modifier}
    assert all(re.fullmatch(r"[A-Z].+\.", meaning) for meaning in MEANING.values())


def test_names_can_be_joined_with_a_plus() -> None:
    assert not [name for name in (*Rule, *Modifier) if not re.fullmatch(r"[a-z0-9_]+", name)]
