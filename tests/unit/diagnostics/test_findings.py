from __future__ import annotations

from batch_screen.diagnostics.findings import (
    Diagnosis,
    Health,
    failed,
    not_checked,
    of_error,
    passed,
    warning,
)
from batch_screen.errors import OutputError

NUMBER = "+491713920012"


def test_the_first_failure_gives_the_code() -> None:
    fine = (passed("a", "x"), warning("b", "x", "y"), *not_checked(["c"], "z"))
    assert Diagnosis(fine).exit_code == 0
    found = Diagnosis((*fine, failed("d", "x", "y", 73), failed("e", "x", "y", 69)))
    assert found.exit_code == 73
    assert [found.count(health) for health in Health] == [1, 1, 2, 1]


def test_an_error_is_what_is_wrong_and_what_to_do() -> None:
    found = of_error("disk", OutputError("cannot write to x: full; free space, then start again"))
    assert (found.seen, found.remedy) == ("cannot write to x: full", "free space, then start again")
    assert (found.health, found.exit_code) == (Health.FAILED, 73)
    assert of_error("x", OutputError("alone")).remedy == "see the message"


def test_nothing_shows_a_whole_number() -> None:
    found = [failed("a", NUMBER, NUMBER, 2), *not_checked(["b"], f"{NUMBER}\n\x1b[2J")]
    assert NUMBER not in repr(found)
    assert "\n" not in found[1].seen
