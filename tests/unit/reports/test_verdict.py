from __future__ import annotations

import pytest
from msgspec.structs import replace

from batch_screen.model import Endpoint
from batch_screen.reports.verdict import GOOD, POOR, STOPPED, verdict_of, what_is_recent
from batch_screen.tables.breakdown import Signs

from .materials import breakdown, lookups, material, stopped, summary


def test_the_tone_follows_the_end() -> None:
    assert verdict_of(material()).tone == GOOD
    assert verdict_of(material(max_failure_share=0.001)).tone == POOR
    assert verdict_of(material(max_failure_share=None)).tone == GOOD
    assert verdict_of(stopped()).tone == STOPPED


def test_too_many_failures_are_said_in_the_first_sentence_and_explained() -> None:
    verdict = verdict_of(material(max_failure_share=0.001))
    assert verdict.sentence.startswith("Complete, but 1.0 % of the lookups failed; 5 of 200")
    assert "More than 0.1 % of the lookups failed (guards.max_failure_share)" in verdict.steps[0]


@pytest.mark.parametrize(
    ("signs", "numbers", "sentence"),
    [
        (Signs(), 7, "none of 7 numbers shows a sign of a change or of forwarding"),
        (Signs(sim_only=1), 1, "1 of 1 number deserves a look"),
        (Signs(forwarded=1, device_only=2), 2_000, "3 of 2,000 numbers deserve a look"),
    ],
)
def test_what_was_found(signs: Signs, numbers: int, sentence: str) -> None:
    found = replace(breakdown(), numbers=numbers, signs=signs)
    assert verdict_of(material()._replace(breakdown=found)).sentence == f"Complete: {sentence}"


def test_signs_add_up_and_unknown_is_none_of_them() -> None:
    listed = verdict_of(material()).signs
    unknown = [(sign.what, sign.numbers) for sign in listed if not sign.is_positive]
    assert unknown == [("unknown, no answer", 1), ("unknown, not ruled out", 1)]
    assert sum(sign.numbers for sign in listed if sign.is_positive) == 5


def test_steps_tell_what_may_have_been_billed_and_that_a_sandbox_answered() -> None:
    endpoints = {"sim-swap/check": replace(lookups(success=1), unanswered=3)}
    settings = {**summary().settings, "api.base_url": "sandbox"}
    steps = verdict_of(material(endpoints=endpoints, settings=settings)).steps
    assert steps[0].startswith("Up to 3 requests may have been billed")
    assert "sandbox" in steps[1]


def test_what_is_recent_is_said_by_what_was_asked() -> None:
    dated = "its latest change is dated less than 7 days before the answer"
    checked = "its check saw a swap in the last 40 hours"
    settings = {"screening.max_age_minutes": 2400}

    def said(*endpoints: Endpoint) -> str:
        asked = {endpoint.value: lookups(success=1) for endpoint in endpoints}
        return what_is_recent(summary(endpoints=asked, settings=settings))

    assert said(*Endpoint) == f"Changed lately: {dated}, or {checked}."
    assert said(Endpoint.DEVICE_SWAP_DATE) == f"Changed lately: {dated}."
    assert said(Endpoint.SIM_SWAP_CHECK) == f"Changed lately: {checked}."
    assert said(Endpoint.CALL_FORWARDING_CHECK) == ""
